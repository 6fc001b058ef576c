package main

import "github.com/sallyport-net/sallyport/node/api"

// codeOfStatus says in the API's words what exit statuses say.
var codeOfStatus = map[int]api.Code{
	statusMisused: api.Invalid, statusWrongCode: api.WrongCode, statusAbsent: api.Absent,
	statusNoNetwork: api.NoNetwork, statusRefused: api.Refused,
}

// problemOf is a failure for clients of the API.
func problemOf(err error) api.Problem {
	f := explain(err)
	p := api.Problem{Error: f.what, Hint: f.hint, Code: api.Failed}
	if code, known := codeOfStatus[f.status]; known {
		p.Code = code
	}
	if e, ok := f.event.(failedEvent); ok {
		for _, t := range e.Attempts {
			p.Attempts = append(p.Attempts, api.Attempt(t))
		}
	}
	return p
}

// ofProblem is the way back.
func ofProblem(p api.Problem) error {
	f := &failure{status: statusFailed, what: p.Error, hint: p.Hint}
	for status, code := range codeOfStatus {
		if code == p.Code {
			f.status = status
		}
	}
	if len(p.Attempts) > 0 {
		e := failedEvent{Event: "failed", Hint: p.Hint, Status: f.status}
		for _, t := range p.Attempts {
			e.Attempts = append(e.Attempts, failedAttempt(t))
		}
		f.event = e
	}
	return f
}
