package node

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

// answer is what both dialects may say.
type answer struct {
	Transaction  *answerNode
	Transactions struct {
		PageInfo struct {
			HasNextPage bool
			EndCursor   string
		}
		Edges []struct {
			Cursor string
			Node   answerNode
		}
	}
}

type answerNode struct {
	ID, Anchor, Signature, Recipient string
	Owner                            struct{ Address, Key string }
	Fee                              any
	Quantity                         struct{ Winston, Ar string }
	Data                             struct{ Size, Type string }
	Tags                             []tag
	Block                            *struct {
		ID                string
		Height, Timestamp int64
	}
	BundledIn                *struct{ ID string }
	Address, Currency, Token string
	Timestamp, Size          float64
	Receipt                  *archive.Promise
}

func (a *answer) ids() []string {
	ids := []string{}
	for _, e := range a.Transactions.Edges {
		ids = append(ids, e.Node.ID)
	}
	return ids
}

func TestGatewayNode(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "hello", archive.Tag{Name: "Content-Type", Value: "text/plain"}, archive.Tag{Name: "ünï", Value: "\"<&>"})
	p := r.put(item)
	const fields = `{id anchor signature recipient owner{address key} fee{winston ar} quantity{winston ar} data{size type} tags{name value} block{id height timestamp} bundledIn{id}}`
	var a answer
	r.ask(&a, `query($ids:[ID!]){transaction(id:"`+item.ID+`")`+fields+` transactions(ids:$ids){pageInfo{hasNextPage} edges{cursor node`+fields+`}}}`,
		map[string]any{"ids": []string{item.ID}})
	if len(a.Transactions.Edges) != 1 || a.Transaction == nil {
		t.Fatalf("got %+v, want the item twice", a)
	}
	for _, n := range []answerNode{*a.Transaction, a.Transactions.Edges[0].Node} {
		if n.ID != item.ID || n.Signature != base64url(item.Bytes[2:66]) || n.Owner.Key != base64url(item.Owner) || n.Owner.Address != item.Address() ||
			n.Data.Size != "5" || n.Data.Type != "text/plain" || n.Anchor != "" || n.Recipient != "" || n.Quantity.Winston != "0" || n.BundledIn != nil ||
			n.Block == nil || n.Block.Height != 1 || n.Block.Timestamp != p.Timestamp/1000 || !slices.Equal(n.Tags, tagsOf(item.Tags)) {
			t.Errorf("got %+v", n)
		}
	}
	var none answer
	r.ask(&none, `{transaction(id:"`+foreign(t, 2, "").ID+`"){id}}`, nil)
	if none.Transaction != nil {
		t.Errorf("an unknown transaction: got %+v, want null", none.Transaction)
	}
}

func TestBundlrNode(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "hello", archive.Tag{Name: "a", Value: "b"})
	p := r.put(item)
	var a answer
	r.ask(&a, `{transactions(ids:["`+item.ID+`"], limit:1){pageInfo{hasNextPage endCursor} edges{cursor node{
		id address currency token timestamp signature size fee tags{name value} receipt{deadlineHeight signature timestamp version}}}}}`, nil)
	if len(a.Transactions.Edges) != 1 {
		t.Fatalf("got %+v, want one", a)
	}
	var bare answer // as the clients ask for a receipt: only a field tells the dialect
	r.ask(&bare, `query { transactions(ids: ["`+item.ID+`"]) { edges { node { receipt { signature timestamp version deadlineHeight } } } } }`, nil)
	if len(bare.Transactions.Edges) != 1 || bare.Transactions.Edges[0].Node.Receipt == nil {
		t.Errorf("receipt alone: got %+v", bare)
	}
	n := a.Transactions.Edges[0].Node
	if n.ID != item.ID || n.Address != item.NativeAddress() || n.Currency != "solana" || n.Token != "solana" || int64(n.Timestamp) != p.Timestamp ||
		n.Signature != base64url(item.Bytes[2:66]) || n.Size != 5 || n.Fee != "0" || !slices.Equal(n.Tags, tagsOf(item.Tags)) || n.Receipt == nil {
		t.Errorf("got %+v", n)
	}
	n.Receipt.ID, n.Receipt.Public = item.ID, base64url(r.key.N.Bytes())
	raw := fmt.Appendf(nil, `{"id":%q,"public":%q,"timestamp":%d,"version":%q,"deadlineHeight":%d,"signature":%q}`,
		n.Receipt.ID, n.Receipt.Public, n.Receipt.Timestamp, n.Receipt.Version, n.Receipt.DeadlineHeight, n.Receipt.Signature)
	if _, err := archive.VerifyReceipt(raw, item.ID, []string{r.Address()}); err != nil {
		t.Errorf("the receipt from the index: %v", err)
	}
}

// Each query in both dialects over more than three pages, with items arriving
// in between, forwards and backwards.
func TestPaging(t *testing.T) {
	r := start(t, Options{})
	items := chainItems(t, "paging", 23)
	strangers := chainItems(t, "stranger", 23)
	for i, item := range items[:19] {
		r.put(strangers[i])
		r.put(item)
	}
	want := idsOf(items[:19])
	db := items[0].Tags[slices.IndexFunc(items[0].Tags, func(t archive.Tag) bool { return t.Name == "DB-ID" })].Value
	for _, test := range []struct {
		name, query string
		backwards   bool
	}{
		{"gateway ascending", `query($db:String!,$after:String){transactions(tags:[{name:"App-Name",values:["pgbridge"]},{name:"DB-ID",values:[$db]}],first:5,after:$after,sort:HEIGHT_ASC){pageInfo{hasNextPage} edges{cursor node{id}}}}`, false},
		{"gateway descending", `query($db:String!,$after:String){transactions(tags:[{name:"DB-ID",values:[$db]}],first:5,after:$after,sort:HEIGHT_DESC){pageInfo{hasNextPage} edges{cursor node{id}}}}`, true},
		{"bundlr ascending", `query($db:String!,$after:String){transactions(tags:[{name:"DB-ID",values:[$db]}],limit:5,after:$after,order:ASC){pageInfo{hasNextPage endCursor} edges{cursor node{id address}}}}`, false},
		{"bundlr descending", `query($db:String!,$after:String){transactions(tags:[{name:"DB-ID",values:[$db]}],limit:5,after:$after,order:DESC){pageInfo{hasNextPage endCursor} edges{cursor node{id address}}}}`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := slices.Clone(want)
			if test.backwards {
				slices.Reverse(want)
			}
			var got []string
			vars := map[string]any{"db": db}
			for pages := 1; ; pages++ {
				var a answer
				r.ask(&a, test.query, vars)
				got = append(got, a.ids()...)
				last := a.Transactions.Edges[len(a.Transactions.Edges)-1].Cursor
				if end := a.Transactions.PageInfo.EndCursor; end != "" && end != last {
					t.Errorf("page %d: endCursor is %s, the last cursor %s", pages, end, last)
				}
				if !a.Transactions.PageInfo.HasNextPage {
					if pages != 4 {
						t.Errorf("got %d pages, want 4", pages)
					}
					break
				}
				vars["after"] = last
				r.put(strangers[19+pages]) // of another database
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %d ids, want the %d in order", len(got), len(want))
			}
		})
	}
	// New ones of the same database come behind the cursor of a reader that goes forwards.
	r.put(items[19])
	var a answer
	r.ask(&a, `{transactions(tags:[{name:"DB-ID",values:["`+db+`"]}],first:5,after:"`+items[18].ID+`",sort:HEIGHT_ASC){pageInfo{hasNextPage} edges{node{id}}}}`, nil)
	if got := a.ids(); !slices.Equal(got, []string{items[19].ID}) {
		t.Errorf("behind the last cursor: got %v, want the new item", got)
	}
}

func idsOf(items []archive.Item) (ids []string) {
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	return ids
}

func TestFilters(t *testing.T) {
	r := start(t, Options{})
	plain := foreign(t, 1, "no tags")
	ab := foreign(t, 2, "ab", archive.Tag{Name: "a", Value: "1"}, archive.Tag{Name: "b", Value: "1"})
	a2 := foreign(t, 2, "a2", archive.Tag{Name: "a", Value: "1"}, archive.Tag{Name: "a", Value: "2"})
	rec := storetest.NewChain(t, "filters").Genesis
	all := []archive.Item{plain, ab, a2, rec}
	var times []int64
	for _, item := range all {
		times = append(times, r.put(item).Timestamp)
		until(t, "the clock moves", func() bool { return nowMillis() > times[len(times)-1] })
	}
	for _, test := range []struct {
		args string
		want []archive.Item
	}{
		{`first:10,sort:HEIGHT_ASC`, all},
		{`first:10`, []archive.Item{rec, a2, ab, plain}},
		{`sort:HEIGHT_ASC,ids:["` + ab.ID + `","` + plain.ID + `","x"]`, []archive.Item{plain, ab}},
		{`ids:[]`, nil},
		{`owners:[]`, nil},
		{`tags:[{name:"a",values:[]}]`, nil},
		{`sort:HEIGHT_ASC,owners:["` + ab.Address() + `"]`, []archive.Item{ab, a2}},
		{`owners:["nobody"]`, nil},
		{`recipients:["` + ab.Address() + `"]`, nil},
		{`bundledIn:["` + ab.ID + `"]`, nil},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["1"]}]`, []archive.Item{ab, a2}},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["2","3"]}]`, []archive.Item{a2}},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["1"]},{name:"b",values:["1"]}]`, []archive.Item{ab}},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["1"]},{name:"a",values:["2"]}]`, []archive.Item{a2}},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["1"]},{name:"b",values:["1"],op:NEQ}]`, []archive.Item{a2}},
		{`sort:HEIGHT_ASC,tags:[{name:"a",values:["1"],op:NEQ}]`, []archive.Item{plain, rec}},
		{`sort:HEIGHT_ASC,block:{min:2,max:3}`, []archive.Item{ab, a2}},
		{`sort:HEIGHT_ASC,block:{min:4}`, []archive.Item{rec}},
		{`order:ASC,limit:10`, all},
		{`limit:10`, []archive.Item{rec, a2, ab, plain}},
		{`order:ASC,hasTags:false`, []archive.Item{plain}},
		{`order:ASC,hasTags:true`, []archive.Item{ab, a2, rec}},
		{`order:ASC,currency:"solana",limit:2`, []archive.Item{plain, ab}},
		{`order:ASC,token:"ethereum"`, nil},
		{`order:ASC,owners:["` + ab.NativeAddress() + `"]`, []archive.Item{ab, a2}},
		{fmt.Sprintf(`order:ASC,timestamp:{from:%d,to:%d}`, times[1], times[2]), []archive.Item{ab, a2}},
		{fmt.Sprintf(`order:ASC,timestamp:{from:%d}`, times[3]), []archive.Item{rec}},
		{fmt.Sprintf(`order:ASC,timestamp:{to:%d}`, times[0]), []archive.Item{plain}},
	} {
		var a answer
		r.ask(&a, `{transactions(`+test.args+`){edges{node{id}}}}`, nil)
		if got := a.ids(); !slices.Equal(got, idsOf(test.want)) {
			t.Errorf("transactions(%s): got %v, want %v", test.args, got, idsOf(test.want))
		}
	}
}

func nowMillis() int64 { return time.Now().UnixMilli() }

func TestEthereumOwner(t *testing.T) {
	x := newIndex(t)
	owner, err := base64.RawURLEncoding.DecodeString("BFAKlJXl4Wc4Z4PcwD8tJrGTzPfKDRDj5UCQPCF0mV-mF2JXjqHqWTYTOxBJ5tKkCCNqOhLEAEJDVBKvRqwdbkI")
	if err != nil || len(owner) != 65 {
		t.Fatalf("bad test key: %d bytes, %v", len(owner), err)
	}
	e := entry{id: strings.Repeat("A", 43), sigType: archive.SigEthereum, owner: owner, signature: make([]byte, 65)}
	if err := x.add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	native := archive.NativeAddress(archive.SigEthereum, owner)
	if !strings.HasPrefix(native, "0x") {
		t.Fatalf("native address: got %s, want 0x", native)
	}
	for _, address := range []string{native, archive.Address(owner)} {
		p, err := x.find(t.Context(), query{owners: []string{address}, limit: 10})
		if err != nil || len(p.entries) != 1 {
			t.Errorf("owner %s: got %d, %v, want one", address, len(p.entries), err)
		}
	}
}

func newIndex(t *testing.T) *index {
	t.Helper()
	x, err := openIndex(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.close() })
	return x
}

// Whatever way the index takes through its tables, page by page it finds what
// a look at every item finds, in order.
func TestFindAgainstScan(t *testing.T) {
	x := newIndex(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(n int) string { return fmt.Sprint(random.IntN(n)) }
	var all []entry
	for i := range 300 {
		e := entry{id: base64url(fmt.Appendf(nil, "%032d", i)), sigType: 2, owner: fmt.Appendf(nil, "%032d", random.IntN(5)), signature: []byte{}}
		for range random.IntN(5) {
			e.tags = append(e.tags, archive.Tag{Name: "t" + pick(3), Value: pick(4)})
		}
		if random.IntN(3) == 0 {
			e.tags = recordTagsOf(pick(2), pick(2), pick(2), pick(40))
		}
		all = append(all, e)
	}
	if err := x.add(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	for round := range 150 {
		q := query{limit: 5 + random.IntN(30), newestFirst: random.IntN(2) == 0}
		if random.IntN(4) == 0 {
			q.owners = []string{archive.Address(fmt.Appendf(nil, "%032d", random.IntN(5))), "x"}
		}
		for range random.IntN(3) {
			m := tagMatch{name: "t" + pick(3), not: random.IntN(3) == 0}
			for range random.IntN(3) {
				m.values = append(m.values, pick(5))
			}
			q.tags = append(q.tags, m)
		}
		if random.IntN(3) == 0 {
			seqs := tagMatch{name: "Seq"}
			for range random.IntN(30) {
				seqs.values = append(seqs.values, pick(40))
			}
			q.tags = append(q.tags, seqs)
			for i, tag := range recordTagsOf(pick(2), pick(2), pick(2), "")[5:8] {
				if random.IntN(6) > 0 {
					q.tags = append(q.tags, tagMatch{name: recordTags[i], values: []string{tag.Value}})
				}
			}
		}
		x.few = []few{usual, {2, 4}, {1, 1}}[round%3]
		want := scanAll(all, q)
		if got := pages(t, x, q); !slices.Equal(got, want) {
			t.Fatalf("round %d, %+v: got %d, want %d", round, q, len(got), len(want))
		}
	}
}

// recordTagsOf are the tags of a record, of which those at 5, 6, 7 are DB-ID,
// Writer and Epoch.
func recordTagsOf(db, writer, epoch, seq string) []archive.Tag {
	long := func(s string) string { return strings.Repeat(s, 64) }
	return []archive.Tag{
		{Name: "App-Name", Value: "pgbridge"},
		{Name: "App-Version", Value: "1"},
		{Name: "Content-Type", Value: "application/x-pgbridge"},
		{Name: "Type", Value: "actions"},
		{Name: "Digest", Value: long("d")},
		{Name: "DB-ID", Value: long(db)},
		{Name: "Writer", Value: long(writer)},
		{Name: "Epoch", Value: "1" + epoch},
		{Name: "Seq", Value: "1" + seq},
	}
}

func scanAll(all []entry, q query) []string {
	ids := []string{}
	for _, e := range all {
		if q.owners != nil && !slices.Contains(q.owners, archive.Address(e.owner)) {
			continue
		}
		holds := !slices.ContainsFunc(q.tags, func(m tagMatch) bool {
			has := slices.ContainsFunc(e.tags, func(t archive.Tag) bool { return t.Name == m.name && slices.Contains(m.values, t.Value) })
			return has == m.not
		})
		if holds {
			ids = append(ids, e.id)
		}
	}
	if q.newestFirst {
		slices.Reverse(ids)
	}
	return ids
}

func pages(t *testing.T, x *index, q query) []string {
	t.Helper()
	ids := []string{}
	for {
		p, err := x.find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.entries {
			ids = append(ids, e.id)
		}
		if !p.more {
			return ids
		}
		q.after = ids[len(ids)-1]
	}
}

func TestGraphQLRefused(t *testing.T) {
	r := start(t, Options{})
	long := make([]string, maxValues+1)
	for i := range long {
		long[i] = fmt.Sprint(i)
	}
	for _, test := range []struct {
		name, query string
		variables   map[string]any
		want        string
	}{
		{"no such field", `{transactions{edges{node{nonsense}}}}`, nil, "nonsense"},
		{"no such argument of Bundlr", `{transactions(limit:3,nonsense:1){edges{node{id address}}}}`, nil, "nonsense"},
		{"not GraphQL", `{{`, nil, "syntax"},
		{"two dialects at once", `{transactions(limit:3,sort:HEIGHT_ASC){edges{node{id}}}}`, nil, "argument"},
		{"an unknown cursor", `{transactions(after:"x"){edges{node{id}}}}`, nil, "cursor"},
		{"a page too large", `{transactions(first:1001){edges{node{id}}}}`, nil, "1 to 1000"},
		{"a page of none", `{transactions(limit:0){edges{node{id}}}}`, nil, "1 to 1000"},
		{"too many values", `query($v:[String!]!){transactions(tags:[{name:"a",values:$v}]){edges{node{id}}}}`, map[string]any{"v": long}, "4096"},
		{"too many lists", `{` + lists(9) + `}`, nil, "at most 8 lists"},
		{"too many fields", `{` + lists(1500) + `}`, nil, ""},
		{"too deep", `{__schema{types{fields{type{` + strings.Repeat("ofType{", 12) + "name" + strings.Repeat("}", 17), nil, "depth"},
		{"a mutation", `mutation{transactions{edges{node{id}}}}`, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := r.askRaw(test.query, test.variables)
			if status != http.StatusOK || !strings.Contains(string(body), `"errors":`) || !strings.Contains(string(body), test.want) {
				t.Errorf("got %d %.300s, want errors with %q", status, body, test.want)
			}
		})
	}
	for _, test := range []struct {
		name, body string
		want       int
	}{
		{"not JSON", `{`, 400},
		{"empty", ``, 400},
		{"variables that are none", `{"query":"{transactions{edges{node{id}}}}","variables":[]}`, 400},
		{"too long", `{"query":"` + strings.Repeat(" ", maxQueryBytes) + `"}`, 413},
	} {
		if status, body := r.post("/graphql", "application/json", strings.NewReader(test.body)); status != test.want {
			t.Errorf("%s: got %d %s, want %d", test.name, status, body, test.want)
		}
	}
}

func lists(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d:transactions{edges{node{id}}} ", i)
	}
	return b.String()
}

// A query that takes too long ends, and the others go on.
func TestFindEndsWithItsContext(t *testing.T) {
	x := newIndex(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.find(ctx, query{limit: 10}); err == nil {
		t.Error("find after the end: got no error")
	}
	if _, err := x.find(t.Context(), query{limit: 10}); err != nil {
		t.Errorf("find after one that was ended: %v", err)
	}
}
