package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client is how this package speaks HTTP: each exchange is bounded in time and
// in size, no redirect leads to another host, and what may pass is tried again
// (Retry). The zero value is ready. One Client serves any number of archives
// and goroutines; its fields are read at the first use.
type Client struct {
	// Connect bounds dialling, and then the TLS handshake. 10 s if zero.
	Connect time.Duration
	// Header bounds the wait for an answer once the request is sent. 30 s if zero.
	Header time.Duration
	// Exchange bounds all of one request and its answer, plus a second for
	// every 64 KiB that moved. 1 minute if zero.
	Exchange time.Duration
	// Retry says how long to try again after faults that may pass.
	Retry Backoff
	// Log is told of each such fault. Nil discards.
	Log *slog.Logger

	once  sync.Once
	inner *http.Client
}

// slowest is the rate, in bytes per second, that an exchange must not fall below.
const slowest = 64 << 10

var errSlow = errors.New("the exchange took too long")

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() { c.http().CloseIdleConnections() }

// shared serves the archives that were given no Client.
var shared Client

func (c *Client) orShared() *Client {
	if c == nil {
		return &shared
	}
	return c
}

func (c *Client) http() *http.Client {
	c.once.Do(func() {
		connect := orDefault(c.Connect, 10*time.Second)
		c.inner = &http.Client{
			CheckRedirect: sameHost,
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
				TLSHandshakeTimeout:    connect,
				ResponseHeaderTimeout:  orDefault(c.Header, 30*time.Second),
				IdleConnTimeout:        90 * time.Second,
				MaxIdleConnsPerHost:    16,
				MaxResponseHeaderBytes: 256 << 10,
				ForceAttemptHTTP2:      true,
				DisableCompression:     true, // the bytes asked for, and no bomb
			},
		}
	})
	return c.inner
}

// sameHost follows a redirect of a GET within one host. What it refuses comes
// back as the 3xx answer itself.
func sameHost(req *http.Request, via []*http.Request) error {
	from := via[0]
	if len(via) > 3 || from.Method != http.MethodGet || req.URL.Scheme != from.URL.Scheme || req.URL.Host != from.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// request is what to send. A body is sent with its length.
type request struct {
	method, url, contentType string
	body                     []byte
}

// exchange makes one request, once, and gives a 2xx answer to use, whose
// error it returns. Other answers are a *fault; what broke is a *transportError.
func (c *Client) exchange(ctx context.Context, r request, use func(*http.Response, *pace) error) error {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	whole := orDefault(c.Exchange, time.Minute) + moving(len(r.body))
	p := &pace{ends: time.Now().Add(whole), timer: time.AfterFunc(whole, func() { cancel(errSlow) })}
	defer p.timer.Stop()

	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return errors.New("the URL cannot be used") // its text may hold a password
	}
	req.Header.Set("User-Agent", "pgbridge")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	res, err := c.http().Do(req)
	if err != nil {
		return &transportError{sent.Load(), cause(ctx, err)}
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return readFault(res)
	}
	if err := use(res, p); err != nil {
		if broken := (*transportError)(nil); errors.As(err, &broken) {
			broken.sent, broken.err = true, cause(ctx, broken.err)
		}
		return err
	}
	return nil
}

// pace ends an exchange that falls behind.
type pace struct {
	ends  time.Time
	timer *time.Timer
}

// allow moves the end to d from now.
func (p *pace) allow(d time.Duration) {
	p.ends = time.Now().Add(d)
	p.timer.Reset(d)
}

func moving(bytes int) time.Duration { return time.Duration(bytes) * time.Second / slowest }

// pacedReader grants an exchange more time for each byte that arrives. Its
// errors, io.EOF excepted, are of type *transportError.
type pacedReader struct {
	*pace
	r io.Reader
}

func (p pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.ends = p.ends.Add(moving(n))
	p.timer.Reset(time.Until(p.ends))
	if err != nil && err != io.EOF {
		err = &transportError{true, err}
	}
	return n, err
}

// answer is a 2xx answer, read whole.
type answer struct {
	code int
	body []byte
}

// send makes one request and reads the answer, of at most limit bytes.
func (c *Client) send(ctx context.Context, r request, limit int64) (a answer, err error) {
	err = c.exchange(ctx, r, func(res *http.Response, p *pace) error {
		a.code = res.StatusCode
		a.body, err = readAll(pacedReader{p, res.Body}, res.ContentLength, limit)
		return err
	})
	return a, err
}

// maxAnnounced is how many bytes a header's word may take memory for. Few records
// have more.
const maxAnnounced = 16 << 20

func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, fmt.Errorf("the answer has %d bytes, over the limit of %d", length, limit)
	}
	var body bytes.Buffer
	body.Grow(int(min(max(length, 0), maxAnnounced)) + bytes.MinRead) // with these ReadFrom need not grow it
	_, err := body.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && int64(body.Len()) > limit {
		return nil, fmt.Errorf("the answer is over the limit of %d bytes", limit)
	}
	return body.Bytes(), err
}

// retry calls try until it succeeds, fails for good, or there is no more time.
func (c *Client) retry(ctx context.Context, url string, try func() error) error {
	for p := c.Retry.begin(); ; {
		err := try()
		if err == nil || !transient(err) {
			return err
		}
		if stop := c.pause(ctx, p, url, err); stop != nil {
			return stop
		}
	}
}

// pause waits before the next try after err, or says why there is none.
func (c *Client) pause(ctx context.Context, p *patience, url string, err error) error {
	var after time.Duration
	if f := (*fault)(nil); errors.As(err, &f) {
		after = f.after
	}
	if ctx.Err() == nil {
		c.log().Warn("the archive did not answer as it should, trying again", "url", displayURL(url), "error", err)
	}
	if stop := p.wait(ctx, after); stop != nil {
		return fmt.Errorf("%w: %w", stop, err)
	}
	return nil
}

func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// displayURL is a URL for people: without user, password, query and last slash.
func displayURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}).String()
}

// baseURL is the URL that paths are appended to.
func baseURL(raw string) string { return strings.TrimRight(raw, "/") }
