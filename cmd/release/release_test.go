package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestArchives: what is packed comes out, and the same files give the same
// bytes.
func TestArchives(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	files := []file{{"sallyport", 0o755, []byte("binary")}, {"LICENSE", 0o644, []byte("text")}}
	const want = "f/sallyport -rwxr-xr-x 2026-02-03T04:05:06Z binary\nf/LICENSE -rw-r--r-- 2026-02-03T04:05:06Z text\n"
	for name, pack := range map[string]func(string, time.Time, []file) ([]byte, error){"tarball": tarball, "zipped": zipped} {
		t.Run(name, func(t *testing.T) {
			b, err := pack("f", at, files)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := pack("f", at, files); err != nil || !bytes.Equal(b, again) {
				t.Errorf("the same files gave other bytes (%v)", err)
			}
			got, err := unpacked(b)
			if err != nil || got != want {
				t.Errorf("%v, got\n%s", err, got)
			}
		})
	}
}

// unpacked lists an archive of either kind.
func unpacked(b []byte) (string, error) {
	var list strings.Builder
	add := func(i os.FileInfo, name string, at time.Time, r io.Reader) error {
		text, err := io.ReadAll(r)
		fmt.Fprintf(&list, "%s %v %s %s\n", name, i.Mode(), at.UTC().Format(time.RFC3339), text)
		return err
	}
	if z, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err == nil {
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				return "", err
			}
			if err := add(f.FileInfo(), f.Name, f.Modified, r); err != nil {
				return "", err
			}
		}
		return list.String(), nil
	}
	g, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	for r := tar.NewReader(g); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list.String(), nil
		}
		if err != nil {
			return "", err
		}
		if err := add(h.FileInfo(), h.Name, h.ModTime, r); err != nil {
			return "", err
		}
	}
}

// TestTypeCheck: it sees an error that only one system has, and none where
// there is none.
func TestTypeCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":          "module example.org/m\n\ngo 1.26\n",
		"m.go":            "package m\n\nimport \"unicode/utf8\"\n\nvar Length = utf8.RuneCountInString(name)\n",
		"name_linux.go":   "package m\n\nconst name = \"linux\"\n",
		"name_windows.go": "package m\n\nconst name = 7\n",
		"m_test.go":       "package m\n\nvar _ int = \"not looked at\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for system, want := range map[string]string{"linux": "", "windows": "cannot use name", "darwin": "undefined: name"} {
		err := typeCheck(target{system, "arm64"}, dir, "./...")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", system, err, want)
		}
	}
	if err := typeCheck(target{"linux", "arm64"}, dir, "./missing"); err == nil {
		t.Error("a package that does not exist was found")
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != 8 {
		t.Errorf("%v, %v", all, err)
	}
	if two, err := choose("linux/arm64,windows/amd64"); err != nil || fmt.Sprint(two) != "[linux/arm64 windows/amd64]" {
		t.Errorf("%v, %v", two, err)
	}
	if _, err := choose("linux/amd64,plan9/386"); err == nil || !strings.Contains(err.Error(), `"plan9/386"`) {
		t.Errorf("plan9: %v", err)
	}
}
