package address

import "errors"

// Parse reads an address in its text form, its compact form, or as a bare node id.
func Parse(s string) (Address, error) { return Address{}, errors.New("not written yet") }

// String prints the canonical text form.
func (a Address) String() string { return "not written yet" }

// MarshalText gives the text form.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what Parse reads.
func (a *Address) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*a = v
	}
	return err
}
