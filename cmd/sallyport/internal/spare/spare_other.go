//go:build !linux

package spare

// WhileIdle does nothing here.
func WhileIdle() (stop func()) { return func() {} }

// Now does nothing here.
func Now() {}
