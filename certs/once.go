package certs

import "log/slog"

// An errorLog logs an error that occurs again and again only once, until there is
// another one or none.
type errorLog struct{ last string }

// report logs an error under a message, unless it was the last one. Nil is none.
func (e *errorLog) report(log *slog.Logger, message string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != e.last {
		log.Error(message, "error", err)
	}
	e.last = text
}
