package fakearchive

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgbridge/pgbridge/archive"
)

// query is what the index was asked. It is read with patterns, which know only
// the queries that pgbridge writes: another one is a fault of the test.
type query struct {
	bundlr bool
	limit  int
	after  string
	ids    []string
	owners []string
	block  int64
	tags   map[string][]string
}

var (
	gatewayForm = regexp.MustCompile(`^\{transactions\(first:(\d+),sort:HEIGHT_ASC`)
	bundlrForm  = regexp.MustCompile(`^\{transactions\(limit:(\d+),order:ASC`)
	afterForm   = regexp.MustCompile(`,after:"([^"]*)"`)
	blockForm   = regexp.MustCompile(`,block:\{min:(\d+)\}`)
	idsForm     = regexp.MustCompile(`,ids:(\[[^\]]*\])`)
	ownersForm  = regexp.MustCompile(`,owners:(\[[^\]]*\])`)
	tagForm     = regexp.MustCompile(`\{name:"([^"]*)",values:(\[[^\]]*\])\}`)
)

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	var body struct{ Query string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q, ok := parse(body.Query)
	if !ok {
		s.t.Errorf("the index was asked in no dialect: %s", body.Query)
		http.Error(w, "syntax", http.StatusBadRequest)
		return
	}
	if window := len(q.tags["Seq"]); window*2 > q.limit {
		s.t.Errorf("the index was asked for %d numbers with a page of %d, want twice as many", window, q.limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	writeJSON(w, s.page(q))
}

func parse(text string) (q query, ok bool) {
	form := gatewayForm
	if q.bundlr = bundlrForm.MatchString(text); q.bundlr {
		form = bundlrForm
	}
	head := form.FindStringSubmatch(text)
	if head == nil {
		return q, false
	}
	q.limit, _ = strconv.Atoi(head[1])
	if m := afterForm.FindStringSubmatch(text); m != nil {
		q.after = m[1]
	}
	if m := blockForm.FindStringSubmatch(text); m != nil {
		q.block, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if m := idsForm.FindStringSubmatch(text); m != nil {
		q.ids = list(m[1])
	}
	if m := ownersForm.FindStringSubmatch(text); m != nil {
		q.owners = list(m[1])
	}
	q.tags = map[string][]string{}
	for _, m := range tagForm.FindAllStringSubmatch(text, -1) {
		q.tags[m[1]] = list(m[2])
	}
	return q, !(q.bundlr && q.block != 0)
}

func list(text string) (values []string) {
	json.Unmarshal([]byte(text), &values) // the pattern matched a list of strings
	return values
}

func (q *query) match(n Node) bool {
	if q.ids != nil && !slices.Contains(q.ids, n.ID) || q.owners != nil && !slices.Contains(q.owners, n.Owner) {
		return false
	}
	if q.block != 0 && n.Height < q.block {
		return false
	}
	for name, values := range q.tags {
		if !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(n.Tags, archive.Tag{Name: name, Value: v}) }) {
			return false
		}
	}
	return true
}

// page answers in no useful order: by id. A cursor is the place in it.
func (s *Server) page(q query) any {
	var all []Node
	for _, n := range s.nodes {
		if q.match(n) {
			all = append(all, n)
		}
	}
	if q.block != 0 && q.block <= s.height { // blocks hold other people's items too
		all = append(all, Node{ID: NewID(2), Height: s.height})
	}
	slices.SortFunc(all, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	if s.Lie != nil {
		all = s.Lie(all)
	}
	from, _ := strconv.Atoi(q.after)
	place := min(from, len(all))
	if s.Endless {
		place = 0
	}
	edges := []any{}
	for i, n := range all[place:min(len(all), place+q.limit)] {
		edges = append(edges, map[string]any{"cursor": strconv.Itoa(from + i + 1), "node": n.json()})
	}
	info := map[string]any{"hasNextPage": s.Endless || !s.Last && place+q.limit < len(all)}
	return map[string]any{"data": map[string]any{"transactions": map[string]any{"pageInfo": info, "edges": edges}}}
}

func (n Node) json() any {
	tags := []any{}
	for _, t := range n.Tags {
		tags = append(tags, map[string]any{"name": t.Name, "value": t.Value})
	}
	v := map[string]any{"id": n.ID, "tags": tags, "block": nil}
	if n.Height != 0 {
		v["block"] = map[string]any{"height": n.Height}
	}
	return v
}
