package fakearchive

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"

	"github.com/pgbridge/pgbridge/archive"
)

// Route is a kind of request.
type Route string

// The routes.
const (
	Post   Route = "post"   // of an item
	Status Route = "status" // of an item, as Turbo tells it
	Index  Route = "index"  // GraphQL
	Data   Route = "data"   // of an item
	Events Route = "events" // the feed
)

// Fault is what happens to one request instead of serving it. serve does what
// would have been done; its answer may be thrown away.
type Fault func(s *Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc)

// Script lines up what happens to the next requests on a route, one fault
// each. Fine is none.
func (s *Server) Script(on Route, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[on] = append(s.script[on], faults...)
}

// scripted counts the requests of a route and lets them fail as it was said.
func (s *Server) scripted(on Route, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[on]++
		fault := Fine
		if faults := s.script[on]; len(faults) > 0 {
			fault, s.script[on] = faults[0], faults[1:]
		}
		s.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		fault(s, w, r, serve)
	}
}

// Fine serves the request.
func Fine(_ *Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { serve(w, r) }

// Answer is a status, a body and nothing done.
func Answer(code int, body string) Fault {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// Busy is 429 with Retry-After.
func Busy(seconds int) Fault {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// Redirect leads to another place.
func Redirect(to string) Fault {
	return func(_ *Server, w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// Drop closes the connection without an answer.
func Drop(*Server, http.ResponseWriter, *http.Request, http.HandlerFunc) {
	panic(http.ErrAbortHandler)
}

// Hang says nothing until the client goes away.
func Hang(s *Server, _ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	select {
	case <-r.Context().Done():
	case <-s.gone:
	}
}

// Drip answers as it should, but never comes to the end.
func Drip(s *Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	answer := record(r, serve)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.Bytes())))
	w.Write(answer.Bytes()[:len(answer.Bytes())/2])
	w.(http.Flusher).Flush()
	Hang(s, w, r, serve)
}

// Truncate answers with the first half and closes the connection.
func Truncate(_ *Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	answer := record(r, serve)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.Bytes())))
	w.Write(answer.Bytes()[:len(answer.Bytes())/2])
	panic(http.ErrAbortHandler)
}

// Done does what was asked, and then fails like the fault: the client cannot
// tell that it was done.
func Done(fault Fault) Fault {
	return func(s *Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		record(r, serve)
		fault(s, w, r, serve)
	}
}

// Misread answers an upload with a receipt for another item.
func Misread(s *Server, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	writeJSON(w, receipt(s.t, receiptKey(), NewID(1), s.deadline()))
}

// Forged answers an upload with a receipt that another key has signed.
func Forged(s *Server, w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	item, err := archive.ParseItem(raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, receipt(s.t, otherKey(), item.ID, s.deadline()))
}

// record serves the request and leaves its body as it was.
func record(r *http.Request, serve http.HandlerFunc) *bytes.Buffer {
	body, _ := io.ReadAll(r.Body) // from memory: see scripted
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	serve(answer, r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return answer.Body
}
