package address

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// machineIDSize is the size of our own machine ids in bytes.
const machineIDSize = 4

// NewMachineID gives 4 random bytes as 8 hex digits. A machine id only tells
// the machines of one key apart, and says nothing about the machine.
func NewMachineID() string {
	var b [machineIDSize]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return hex.EncodeToString(b[:])
}

// LoadOrCreateMachineID reads the machine id in the file at path, or writes a
// new one there, as LoadOrCreateKey does. The file holds one line with 1 to 64
// letters, digits and _, so that a person may choose another; anything else is
// an error.
func LoadOrCreateMachineID(path string) (string, error) {
	id, err := loadMachineID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = NewMachineID()
	err = createFile(path, []byte(id+"\n"), os.Link)
	if errors.Is(err, fs.ErrExist) {
		return loadMachineID(path)
	}
	if err != nil {
		return "", fmt.Errorf("create machine id file: %w", err)
	}
	return id, nil
}

func loadMachineID(path string) (string, error) {
	text, _, err := readStateFile(path)
	if err != nil {
		return "", fmt.Errorf("read machine id file: %w", err)
	}
	id := strings.TrimSpace(text)
	if id == "" || !validMachineID(id) {
		return "", fmt.Errorf("machine id file %q holds %q, not 1 to %d letters, digits and _; remove it to get a new one", path, shorten(id, foundShown), MaxMachineID)
	}
	return id, nil
}
