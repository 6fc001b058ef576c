// Package address says who a node is and where it can be met: a Key is who, an
// Interface is one place, and an Address joins a key with the brokers that it
// listens on and the places where it lives.
package address
