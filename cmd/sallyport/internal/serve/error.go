package serve

import "fmt"

// Error says why the services can't run: in one sentence for their operator,
// who knows the configuration by the flags of sallyport serve.
type Error struct {
	what    string
	hint    string
	misused bool
	cause   error
}

func (e *Error) Error() string { return e.what }

// Hint is one thing to try; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Misused reports whether what was asked for can't be, whatever the machine
// allows.
func (e *Error) Misused() bool { return e.misused }

func (e *Error) Unwrap() error { return e.cause }

// misused is the error of a configuration.
func misused(hint, format string, args ...any) error {
	return &Error{what: fmt.Sprintf(format, args...), hint: hint, misused: true}
}

// failed is any other.
func failed(cause error, hint, format string, args ...any) error {
	return &Error{what: fmt.Sprintf(format, args...), hint: hint, cause: cause}
}
