package relay

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// quiet passes what pion/turn has to say on to a slog.Logger, at its lowest
// level: by itself it would write to standard output.
type quiet struct{ log *slog.Logger }

func (q quiet) NewLogger(string) logging.LeveledLogger { return q }

func (q quiet) Trace(string)              {}
func (q quiet) Tracef(string, ...any)     {}
func (q quiet) Debug(m string)            { q.log.Debug("turn", "what", m) }
func (q quiet) Debugf(f string, a ...any) { q.Debug(fmt.Sprintf(f, a...)) }
func (q quiet) Info(m string)             { q.Debug(m) }
func (q quiet) Infof(f string, a ...any)  { q.Debugf(f, a...) }
func (q quiet) Warn(m string)             { q.Debug(m) }
func (q quiet) Warnf(f string, a ...any)  { q.Debugf(f, a...) }
func (q quiet) Error(m string)            { q.Debug(m) }
func (q quiet) Errorf(f string, a ...any) { q.Debugf(f, a...) }
