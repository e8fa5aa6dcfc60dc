package main

import (
	"fmt"
	"time"
)

// momentLayouts are how a time may be given, in UTC where it does not say.
var momentLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02",
}

// parseMoment reads a time, or how long before now it was. Empty text is the
// zero time.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range momentLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2006-01-02T15:04:05Z, a date, or how long ago like 90m", text)
}
