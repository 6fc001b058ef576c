package code

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// The words are EFF's short list 2.0 of 2016 by Joseph Bonneau, under CC BY 3.0
// US (https://www.eff.org/dice); "yo-yo" is written without its hyphen. They are
// sorted, at least three edits apart, and no two begin with the same three
// letters.
//
//go:embed words.txt
var wordText string

var words = strings.Fields(wordText)

const (
	wordCount = 2
	maxNumber = 9999
	prefix    = 3 // letters of a word that are enough
	maxCode   = 100
)

// Code is what one side shows and the other types.
type Code struct {
	number int
	words  [wordCount]string
}

// New draws a code: a number from 1 to 9999 and two words.
func New() Code {
	c := Code{number: 1 + draw(maxNumber)}
	for n := range c.words {
		c.words[n] = words[draw(len(words))]
	}
	return c
}

// draw gives a random number from 0 to below n.
func draw(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // not reached: the system's randomness does not fail
	}
	return int(v.Int64())
}

// String gives what Parse reads.
func (c Code) String() string {
	if c.number == 0 {
		return ""
	}
	return strconv.Itoa(c.number) + "-" + c.password()
}

func (c Code) password() string { return strings.Join(c.words[:], "-") }

// ParseError says why a text is no code. Its message is one for people.
type ParseError struct {
	What    string
	Suggest string // the word that was meant, perhaps
}

func (e *ParseError) Error() string {
	if e.Suggest != "" {
		return e.What + fmt.Sprintf(". Did you mean %q?", e.Suggest)
	}
	return e.What
}

// Parse reads a code: the number and the words, with hyphens or spaces between,
// in any case; of a word, its first three letters are enough. The error is a
// *ParseError.
func Parse(s string) (Code, error) {
	if len(s) > maxCode {
		return Code{}, &ParseError{What: fmt.Sprintf("a code has at most %d characters, not %d", maxCode, len(s))}
	}
	parts := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == '-' || r == ' ' })
	if len(parts) != 1+wordCount {
		return Code{}, &ParseError{What: fmt.Sprintf("%q is not a code: expected a number and %d words, as in 4821-zebra-acrobat", s, wordCount)}
	}
	var c Code
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < 1 || n > maxNumber || strconv.Itoa(n) != parts[0] {
		return Code{}, &ParseError{What: fmt.Sprintf("%q is not the number of a code: expected 1 to %d", parts[0], maxNumber)}
	}
	c.number = n
	for k, typed := range parts[1:] {
		word, suggest := find(typed)
		if word == "" {
			return Code{}, &ParseError{What: fmt.Sprintf("%q is not a code word", typed), Suggest: suggest}
		}
		c.words[k] = word
	}
	return c, nil
}

// find gives the word that was typed, or else the one that was probably meant.
func find(typed string) (word, suggest string) {
	at, exact := slices.BinarySearch(words, typed)
	if exact {
		return typed, ""
	}
	if len(typed) >= prefix && at < len(words) && strings.HasPrefix(words[at], typed) {
		return words[at], ""
	}
	best := 3 // edits; words are that far apart
	for _, w := range words {
		if d := distance(typed, w, best); d < best {
			best, suggest = d, w
		}
	}
	if suggest == "" && len(typed) >= prefix {
		for _, w := range words {
			if w[:prefix] == typed[:prefix] {
				return "", w
			}
		}
	}
	return "", suggest
}

// distance counts the edits from a to b, two letters that changed places as
// one, as far as they are fewer than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
