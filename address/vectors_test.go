package address

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const specification = "../docs/address.md"

// vector is one block of docs/address.md.
type vector struct {
	name            string
	read            string
	prints, compact string
	fails           Failure
	field           string
	byte            int
}

func readSpecification(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// vectors reads every vector of the specification, and fails where there are
// suspiciously few.
func vectors(t testing.TB) (list []vector) {
	t.Helper()
	for n, part := range strings.Split(readSpecification(t), "```vectors\n") {
		if n == 0 {
			continue
		}
		blocks, _, closed := strings.Cut(part, "\n```")
		if !closed {
			t.Fatalf("%s: a block of vectors has no end", specification)
		}
		for _, block := range strings.Split(blocks, "\n\n") {
			list = append(list, parseVector(t, block))
		}
	}
	if len(list) < 80 {
		t.Fatalf("%s has only %d vectors", specification, len(list))
	}
	return list
}

func parseVector(t testing.TB, block string) (v vector) {
	t.Helper()
	for _, line := range strings.Split(block, "\n") {
		if name, ok := strings.CutPrefix(line, "# "); ok {
			v.name = name
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch key {
		case "read":
			v.read = value
		case "prints":
			v.prints = value
		case "compact":
			v.compact = value
		case "fails":
			v.fails = Failure(value)
		case "field":
			v.field = value
		case "byte":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			v.byte = n
		default:
			ok = false
		}
		if !ok {
			t.Fatalf("%s: no line of a vector: %q", specification, line)
		}
	}
	return v
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			a, err := Parse(v.read)
			if v.fails != "" {
				v.checkFailure(t, a, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			v.checkAddress(t, a)
		})
	}
}

func (v vector) checkFailure(t *testing.T, a Address, err error) {
	var pe *ParseError
	if !errors.As(err, &pe) {
		t.Fatalf("Parse gives %v and error %v, not a ParseError", a, err)
	}
	if pe.Failure != v.fails || pe.Field != v.field || pe.Offset != v.byte {
		t.Errorf("fails with %q, field %q, byte %d, not with %q, %q, %d\n%v",
			pe.Failure, pe.Field, pe.Offset, v.fails, v.field, v.byte, err)
	}
	if !reflect.DeepEqual(a, Address{}) {
		t.Errorf("an error comes with half an address: %+v", a)
	}
	if n := len(err.Error()); n > 500 {
		t.Errorf("the message has %d bytes", n)
	}
}

func (v vector) checkAddress(t *testing.T, a Address) {
	want := v.prints
	if want == "" {
		want = v.read
	}
	if got := a.String(); got != want {
		t.Errorf("prints as %q\nnot       %q", got, want)
	}
	sameAfterParse(t, a, want)
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	compact, err := a.Compact()
	if a.Foreign != "" {
		if err == nil || v.compact != "" {
			t.Errorf("a foreign id has the compact form %q", compact)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if compact != v.compact {
		t.Errorf("compact form is %q\nnot             %q", compact, v.compact)
	}
	sameAfterParse(t, a, compact)
}

// sameAfterParse checks that s is read as exactly a.
func sameAfterParse(t interface {
	Errorf(string, ...any)
	Helper()
}, a Address, s string) {
	t.Helper()
	b, err := Parse(s)
	if err != nil {
		t.Errorf("Parse(%q): %v", s, err)
		return
	}
	if !reflect.DeepEqual(a, b) || !a.Equal(b) {
		t.Errorf("%q is read as\n%+v, not\n%+v", s, b, a)
	}
}

// TestEveryFailureHasVectors holds the table of failures, the vectors and the
// constants together.
func TestEveryFailureHasVectors(t *testing.T) {
	seen := map[Failure]int{TooLong: 1} // too long for a page, see TestTooLong
	for _, v := range vectors(t) {
		if v.fails != "" {
			seen[v.fails]++
		}
	}
	_, table, _ := strings.Cut(readSpecification(t), "| failure | when |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []Failure
	for _, row := range strings.Split(table, "\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(row, "| `"), "`")
		named = append(named, Failure(name))
	}
	all := []Failure{
		Empty, TooLong, UnknownForm, UnknownPrefix, MissingPart, Trailing, Syntax, NotANumber, OutOfRange,
		NotAnIP, WrongFamily, TooMany, BadBroker, BadNodeID, BadMachineID, BadChecksum, BadLayout,
	}
	if !slices.Equal(named, all) {
		t.Errorf("the table names %q\nnot             %q", named, all)
	}
	for _, f := range all {
		if seen[f] == 0 {
			t.Errorf("no vector fails with %q", f)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("the vectors fail in %d ways, not %d", len(seen), len(all))
	}
}

// TestVectorsOfP2PD keeps the addresses that P2PD printed among the vectors.
func TestVectorsOfP2PD(t *testing.T) {
	for _, s := range []string{
		"0,1-[1,0,8.8.8.8,192.168.21.21,58959,3,2,0]-0-zmUGXPOFxUBuToh-easdasd",
		"2-[3,0,51.51.51.8,10.0.0.5,10001,6,4,2]-0-d136e9438ef1b044c2f3afb45-mid",
		"None-0-[4,0,2a00:1450:0000:0000:0000:0000:0000:0006,2a00:1450:0000:0000:0000:0000:0000:0006,10001,5,2,0]-d136e9438ef1b044c2f3afb45-mid",
		"1,0-[1,0,51.51.51.101,51.51.51.101,10002,1,2,0]-0-d172402f56704bd08938d20b3-451224afc78576ce355653dd5cb3657384753fe6ad6807c39a78639e7c39ebec",
	} {
		if !slices.ContainsFunc(vectors(t), func(v vector) bool { return v.read == s && v.fails == "" }) {
			t.Errorf("no vector reads %q", s)
		}
	}
}
