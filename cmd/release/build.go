package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// release builds for each target, and writes the archives and SHA256SUMS to
// dir. What stands there under the same names is replaced.
func release(dir string, chosen []target) error {
	work, err := os.MkdirTemp("", "sallyport-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	manual, err := output("go", "run", command, "reference", "--man")
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, t := range chosen {
		name := "sallyport"
		if t.os == "windows" {
			name += ".exe"
		}
		binary := filepath.Join(work, t.os+"-"+t.arch, name)
		if err := build(t, binary); err != nil {
			return fmt.Errorf("%v: %w", t, err)
		}
		version, at, err := stamp(binary)
		if err != nil {
			return err
		}
		files := []file{{name: "sallyport.1", mode: 0o644, bytes: manual}}
		for _, f := range []struct {
			path string
			mode os.FileMode
		}{{binary, 0o755}, {"LICENSE", 0o644}, {"README.md", 0o644}} {
			b, err := os.ReadFile(f.path)
			if err != nil {
				return err
			}
			files = append(files, file{filepath.Base(f.path), f.mode, b})
		}
		folder := fmt.Sprintf("sallyport_%s_%s_%s", version, t.os, t.arch)
		ending, pack := ".tar.gz", tarball
		if t.os == "windows" {
			ending, pack = ".zip", zipped
		}
		b, err := pack(folder, at, files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, folder+ending), b, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), folder+ending)
		fmt.Println(filepath.Join(dir, folder+ending))
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// build makes one binary. The commit goes into it, as far as there is one, and
// of it Go makes the version that "sallyport version" tells.
func build(t target, binary string) error {
	c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", binary, command)
	c.Env = t.env()
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// stamp reads the version of a binary, and the time of its commit.
func stamp(binary string) (version string, at time.Time, err error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", at, err
	}
	at = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) // without a commit
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if at, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return "", at, err
			}
		}
	}
	return strings.Trim(info.Main.Version, "()"), at.UTC(), nil
}

func output(name string, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c, err, complaint.Bytes())
	}
	return out, nil
}
