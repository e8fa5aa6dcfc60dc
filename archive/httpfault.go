package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// transportError is an exchange that broke. Sent tells whether the request,
// or some of it, may have arrived.
type transportError struct {
	sent bool
	err  error
}

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// fault is an answer with a status other than 2xx.
type fault struct {
	code  int
	text  string        // where a redirect leads, or the beginning of the body
	after time.Duration // Retry-After
}

func (f *fault) Error() string {
	text := fmt.Sprintf("%d %s", f.code, http.StatusText(f.code))
	if f.text != "" {
		text += ": " + f.text
	}
	return text
}

// transient tells whether the same request may succeed later.
func transient(err error) bool {
	if f := (*fault)(nil); errors.As(err, &f) {
		switch f.code {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return f.code >= 500 && f.code != http.StatusNotImplemented
	}
	broken := (*transportError)(nil)
	return errors.As(err, &broken)
}

// cause is why an exchange broke, without the URL, which may hold a password.
func cause(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func readFault(res *http.Response) *fault {
	f := &fault{code: res.StatusCode, after: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	if to := res.Header.Get("Location"); to != "" && res.StatusCode/100 == 3 {
		f.text = "it redirects to " + displayURL(to) + ", which is not followed: configure that URL"
		return f
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 2048)) // the status alone is an answer
	f.text = excerpt(text)
	return f
}

// excerpt is the beginning of a text that a stranger wrote, on one line.
func excerpt(text []byte) string {
	const most = 200
	clean := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), ""), func(r rune) bool { return !strconv.IsPrint(r) || r == ' ' }), " ")
	if len(clean) > most {
		return strings.ToValidUTF8(clean[:most], "") + "…"
	}
	return clean
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 24); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
