//go:build !unix

package node_test

// The laboratory, and so the matrix, is on Linux only.
func kernelRelease() string { return "?" }
