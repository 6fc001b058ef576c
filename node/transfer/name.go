package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a path may come to, in bytes and in names.
const (
	maxPath  = 4096
	maxName  = 255
	maxDepth = 64
)

// partSuffix marks what has not arrived in whole.
const partSuffix = ".sallyport.part"

// NameError refuses a path: of a file to be sent, or that a peer offers.
type NameError struct {
	Path string
	Why  string
}

func (e *NameError) Error() string { return fmt.Sprintf("the name %.100q %s", e.Path, e.Why) }

// Hint says what to do.
func (e *NameError) Hint() string { return "rename it, or leave it out" }

// checkPath refuses every path but one that leads downwards by plain names,
// with "/" between them, on every system.
func checkPath(path string) error {
	bad := func(why string) error { return &NameError{path, why} }
	switch {
	case len(path) > maxPath:
		return bad(fmt.Sprintf("has more than %d bytes", maxPath))
	case !utf8.ValidString(path):
		return bad("is not UTF-8")
	case strings.HasPrefix(path, "/"):
		return bad("is absolute")
	case strings.Count(path, "/") >= maxDepth:
		return bad(fmt.Sprintf("is more than %d folders deep", maxDepth))
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "":
			return bad("has an empty part")
		case name == "." || name == "..":
			return bad(fmt.Sprintf("has %q in it, which leads elsewhere", name))
		case len(name) > maxName:
			return bad(fmt.Sprintf("has a part of more than %d bytes", maxName))
		case strings.HasSuffix(name, partSuffix):
			return bad("is that of an unfinished transfer")
		}
		if i := strings.IndexFunc(name, forbidden); i >= 0 {
			r, _ := utf8.DecodeRuneInString(name[i:])
			return bad(fmt.Sprintf("has the character %U in it", r))
		}
	}
	return nil
}

// forbidden are the backslash, which separates names on Windows, control
// characters, and what makes a terminal show another order than that of the
// bytes (Unicode's bidirectional controls and line separators).
func forbidden(r rune) bool {
	return r == '\\' || unicode.IsControl(r) ||
		r == 0x61c || r == 0x200e || r == 0x200f || 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

// localPath is the path as a system can keep it. On Windows the characters that
// it refuses become "_", and its device names, such as CON, begin with one.
func localPath(path, goos string) string {
	if goos != "windows" {
		return path
	}
	names := strings.Split(path, "/")
	for i, name := range names {
		b := []byte(name)
		for k, c := range b {
			if strings.IndexByte(`<>:"|?*`, c) >= 0 {
				b[k] = '_'
			}
		}
		for k := len(b) - 1; k >= 0 && (b[k] == '.' || b[k] == ' '); k-- {
			b[k] = '_' // Windows drops them
		}
		if names[i] = string(b); deviceName(names[i]) {
			names[i] = "_" + names[i]
		}
	}
	return strings.Join(names, "/")
}

// deviceName reports whether Windows takes a name, with any extension, for a
// device.
func deviceName(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if digit, ok := strings.CutPrefix(base, port); ok {
			switch digit {
			case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
				return true
			}
		}
	}
	return false
}

// partPath is where a file waits until it is whole: beside its final place.
func partPath(local string) string {
	dir, name := "", local
	if i := strings.LastIndexByte(local, '/'); i >= 0 {
		dir, name = local[:i+1], local[i+1:]
	}
	if len(name)+len(partSuffix) > maxName {
		sum := sha256.Sum256([]byte(name))
		name = strings.ToValidUTF8(name[:maxName-len(partSuffix)-9], "") + "~" + hex.EncodeToString(sum[:4])
	}
	return dir + name + partSuffix
}

// isPart reports whether a path is that of a file that has not arrived in whole.
func isPart(path string) bool { return strings.HasSuffix(path, partSuffix) }
