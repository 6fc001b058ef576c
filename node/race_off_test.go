//go:build !race

package node_test

const underRace = false

// labs is how many laboratories run side by side.
const labs = 8
