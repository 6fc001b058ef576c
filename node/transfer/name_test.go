package transfer

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckPath(t *testing.T) {
	deep := strings.Repeat("d/", maxDepth-1)
	for path, why := range map[string]string{
		"x": "", "a/b/c": "", "ünï çødé 🦊": "", ".hidden": "", "..x": "", "...": "", "CON": "", "a:b": "",
		"👨‍👩‍👧": "", deep + "x": "", strings.Repeat("n", 255): "",
		"": "empty part", "/etc/passwd": "is absolute", "..": `".."`, ".": `"."`, "../../x": `".."`, "a/../../x": `".."`, "a/./b": `"."`,
		"a//b": "empty part", "a/": "empty part", `..\x`: "U+005C", `C:\x`: "U+005C", "a\x00b": "U+0000", "a\nb": "U+000A", "\x1b[2J": "U+001B",
		"a\u009bb": "U+009B", "txt.\u202egpj": "U+202E", "a\u2028b": "U+2028", "a\xffb": "is not UTF-8", deep + "d/x": "folders deep",
		strings.Repeat("n", 256): "more than 255 bytes", strings.Repeat("n/", 2048) + "n": "more than 4096 bytes",
		"x.sallyport.part": "unfinished", "a.sallyport.part/x": "unfinished",
	} {
		err := checkPath(path)
		if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%.40q: %v, not %q", path, err, why)
		}
	}
}

func TestLocalPath(t *testing.T) {
	for given, want := range map[string]string{
		"x": "x", "CON": "_CON", "con.txt": "_con.txt", "a/Nul.tar.gz": "a/_Nul.tar.gz", "COM1": "_COM1", "com¹": "_com¹", "LPT9.x": "_LPT9.x",
		"COM": "COM", "COM10": "COM10", "console": "console", "CON .x": "_CON .x", "a:b": "a_b", `x<>"|?*`: "x______", "dot.": "dot_", "dots.. ": "dots___", "aux/aux": "_aux/_aux",
		"C:": "C_",
	} {
		if got := localPath(given, "windows"); got != want {
			t.Errorf("on Windows %q becomes %q, not %q", given, got, want)
		}
		if got := localPath(given, "linux"); got != given {
			t.Errorf("on Linux %q becomes %q", given, got)
		}
	}
}

func TestPartPath(t *testing.T) {
	for _, name := range []string{"x", strings.Repeat("n", 255), strings.Repeat("ü", 127), strings.Repeat("n", 240), strings.Repeat("n", 241)} {
		part := partPath("dir/" + name)
		if got := path.Base(part); len(got) > maxName || !utf8.ValidString(got) || !isPart(got) || path.Dir(part) != "dir" {
			t.Errorf("%q", part)
		}
	}
	if partPath(strings.Repeat("n", 254)+"a") == partPath(strings.Repeat("n", 254)+"b") {
		t.Error("two files have one part")
	}
}

// FuzzPath wants whatever is let through to stay below, on every system, and to
// be kept by Windows.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"x", "../x", "/x", `a\b`, "CON", "a/b./c ", "x\x00", "..x/...", "a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkPath(s) != nil {
			return
		}
		for _, goos := range []string{"linux", "windows"} {
			local := localPath(s, goos)
			if path.Clean(local) != local || path.IsAbs(local) || local == ".." || strings.HasPrefix(local, "../") || strings.ContainsAny(local, "\x00\\\n") {
				t.Fatalf("%q becomes %q", s, local)
			}
			for name := range strings.SplitSeq(local, "/") {
				if goos == "windows" && (deviceName(name) || strings.ContainsAny(name, `<>:"|?*`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ")) {
					t.Fatalf("Windows can't have %q", name)
				}
			}
			if len(path.Base(partPath(local))) > max(maxName, len(path.Base(local))) {
				t.Fatalf("%q has a part with a name that is too long", local)
			}
		}
	})
}
