// Package spare keeps a program that waits from holding the memory that its start, or
// a connection that is over, has taken. On other systems than Linux it does nothing.
package spare
