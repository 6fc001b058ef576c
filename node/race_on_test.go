//go:build race

package node_test

// underRace: the race detector makes all that is computed many times slower.
const underRace = true

// labs is how many laboratories run side by side.
const labs = 5
