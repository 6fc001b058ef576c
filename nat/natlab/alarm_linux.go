package natlab

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes one goroutine at a time set by others. It is a timerfd, since
// the runtime's own timers ring as late as epoll_wait's millisecond.
type alarm struct {
	file   *os.File
	fd     int
	closed bool
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}, nil
}

// set has the alarm ring after d, at once if that is past. It must not run
// beside another set or close.
func (a *alarm) set(d time.Duration) {
	if a.closed {
		return
	}
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	unix.TimerfdSettime(a.fd, 0, &value, nil) // can fail on a bad descriptor only
}

// wait returns true when the alarm has rung, false when it was closed.
func (a *alarm) wait() bool {
	var count [8]byte
	_, err := a.file.Read(count[:])
	return err == nil
}

func (a *alarm) close() {
	a.closed = true
	a.file.Close()
}
