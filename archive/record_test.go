package archive

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

var recordSeed = [32]byte{42}

func actionsHeader() Header {
	return Header{
		Type: TypeActions, DB: action.Digest{1}, Epoch: 2, Seq: 42, Prev: action.Digest{2}, Txs: 1,
		From: 0x16B3748, To: 0x16B374D848, System: 7312345678901234567, Timeline: 1, Schema: action.Digest{3},
	}
}

func genesisHeader() Header {
	return Header{Type: TypeGenesis, Epoch: 1, Seq: 1, From: 1, To: 1, System: 1, Timeline: 1, Schema: action.Digest{3}}
}

const oneLine = `{"lsn":"0/16B3748","actions":[]}` + "\n"

func sealed(t testing.TB, h Header, body string) Record {
	t.Helper()
	r, err := Seal(KeyFromSeed(recordSeed), h, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealOpen(t *testing.T) {
	large := actionsHeader()
	large.Epoch, large.Seq, large.From, large.To = math.MaxUint32, math.MaxUint64, math.MaxUint64, math.MaxUint64
	large.System, large.Timeline, large.Txs = math.MaxUint64, math.MaxUint32, 1
	empty := actionsHeader()
	empty.Txs, empty.From, empty.To, empty.System, empty.Timeline = 0, 0, 0, 0, 0
	text := actionsHeader()
	tests := []struct {
		name   string
		header Header
		body   string
	}{
		{"actions", actionsHeader(), oneLine},
		{"genesis", genesisHeader(), `{"name":"shop"}`},
		{"largest numbers", large, oneLine},
		{"empty body", empty, ""},
		{"one byte", text, "\n"},
		{"255 bytes", text, strings.Repeat("a", 255)},
		{"256 bytes", text, strings.Repeat("a", 256)},
		{"1 KiB", text, strings.Repeat("ab", 512)},
		{"64 KiB and one", text, strings.Repeat("abc", 1<<16/3) + "xy"},
		{"incompressible", text, string(randomBytes(t, 300_000))},
		{"5 MiB of zeros", text, strings.Repeat("\x00", 5<<20)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			made := sealed(t, test.header, test.body)
			opened, err := Open(made.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if opened.Header != made.Header || opened.Digest != made.Digest {
				t.Errorf("got  %+v\nwant %+v", opened.Header, made.Header)
			}
			want := test.header
			want.Writer, want.Size, want.Body = KeyFromSeed(recordSeed).Writer(), len(test.body), made.Header.Body
			if made.Header != want {
				t.Errorf("sealed header: got  %+v\nwant %+v", made.Header, want)
			}
			for _, r := range []Record{made, opened} {
				body, err := r.Body([]byte("kept "))
				if err != nil {
					t.Fatal(err)
				}
				if string(body) != "kept "+test.body {
					t.Errorf("body: got %d bytes, want the %d that were sealed", len(body)-5, len(test.body))
				}
			}
			if peeked, err := PeekHeader(made.Bytes); err != nil || peeked != made.Header {
				t.Errorf("peek: got %+v (%v), want %+v", peeked, err, made.Header)
			}
		})
	}
}

func TestSealIsDeterministic(t *testing.T) {
	body := string(randomBytes(t, 1000)) + strings.Repeat(oneLine, 10_000)
	first := sealed(t, actionsHeader(), body)
	for range 3 {
		sealed(t, genesisHeader(), strings.Repeat("something else between ", 1000))
		if again := sealed(t, actionsHeader(), body); !bytes.Equal(again.Bytes, first.Bytes) {
			t.Fatal("the same header and body: got other bytes the second time")
		}
	}
}

func TestDBOfARecord(t *testing.T) {
	genesis := sealed(t, genesisHeader(), "{}")
	if got, want := genesis.DB(), genesis.Digest; got != want {
		t.Errorf("genesis: got %s, want its own digest %s", got, want)
	}
	record := sealed(t, actionsHeader(), oneLine)
	if got, want := record.DB(), (action.Digest{1}); got != want {
		t.Errorf("actions: got %s, want %s", got, want)
	}
}

func TestSealRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Header)
		want   string
	}{
		{"unknown type", func(h *Header) { h.Type = "actions " }, "not known"},
		{"no type", func(h *Header) { h.Type = "" }, "not known"},
		{"no database", func(h *Header) { h.DB = action.Digest{} }, "db is for"},
		{"no prev", func(h *Header) { h.Prev = action.Digest{} }, "prev is for"},
		{"epoch 0", func(h *Header) { h.Epoch = 0 }, "count from 1"},
		{"seq 0", func(h *Header) { h.Seq = 0 }, "count from 1"},
		{"negative txs", func(h *Header) { h.Txs = -1 }, "out of bounds"},
		{"more txs than bytes", func(h *Header) { h.Txs = len(oneLine) + 1 }, "out of bounds"},
		{"genesis with a database", func(h *Header) { h.Type, h.Prev, h.Epoch, h.Seq = TypeGenesis, action.Digest{}, 1, 1 }, "db is for"},
		{"genesis with a prev", func(h *Header) { h.Type, h.DB, h.Epoch, h.Seq = TypeGenesis, action.Digest{}, 1, 1 }, "prev is for"},
		{"genesis later", func(h *Header) { h.Type, h.DB, h.Prev = TypeGenesis, action.Digest{}, action.Digest{} }, "record 1 of epoch 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := actionsHeader()
			test.change(&h)
			_, err := Seal(KeyFromSeed(recordSeed), h, []byte(oneLine))
			checkRefusal(t, err, test.want)
		})
	}
}

// resigned puts a valid signature on whatever line is, with the given body.
func resigned(line string, body []byte) []byte {
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(recordSeed[:]), []byte(signedPrefix+line))
	return append([]byte(line+"\n"+base64.RawURLEncoding.EncodeToString(signature)+"\n"), body...)
}

func lineOf(r Record) string {
	line, _, _ := bytes.Cut(r.Bytes, []byte("\n"))
	return string(line)
}

func TestOpenRefusesOtherForms(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	line := lineOf(r)
	swap := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	tests := []struct {
		name   string
		change func(string) string
		want   string
	}{
		{"as it is", func(s string) string { return s }, ""},
		{"a space", swap(`,"txs":1`, `, "txs":1`), "canonical"},
		{"a space at the end", func(s string) string { return s + " " }, "canonical"},
		{"a return at the end", func(s string) string { return s + "\r" }, "canonical"},
		{"another order", swap(`"epoch":2,"seq":42`, `"seq":42,"epoch":2`), "canonical"},
		{"an unknown field", swap(`"txs":1`, `"txs":1,"new":true`), "canonical"},
		{"a field twice", swap(`"txs":1`, `"txs":1,"txs":1`), "canonical"},
		{"a field twice, in capitals", swap(`"txs":1`, `"txs":2,"TXS":1`), "canonical"},
		{"a field missing", swap(`,"txs":1`, ``), "canonical"},
		{"zero in front", swap(`"seq":42`, `"seq":042`), "header"},
		{"exponent", swap(`"seq":42`, `"seq":4.2e1`), "header"},
		{"negative", swap(`"seq":42`, `"seq":-42`), "header"},
		{"text for number", swap(`"seq":42`, `"seq":"42"`), "header"},
		{"null for number", swap(`"txs":1`, `"txs":null`), "canonical"},
		{"epoch over 32 bits", swap(`"epoch":2`, `"epoch":4294967298`), "header"},
		{"seq over 64 bits", swap(`"seq":42`, `"seq":18446744073709551658`), "header"},
		{"size over the limit", swap(fmt.Sprintf(`"size":%d`, len(oneLine)), `"size":1073741825`), "out of bounds"},
		{"more txs than bytes", swap(`"txs":1`, `"txs":1000000`), "out of bounds"},
		{"upper-case digest", swap(`"db":"01`, `"db":"0A`), "header"},
		{"short digest", swap(`"db":"01`, `"db":"1`), "header"},
		{"zero db", swap(`"db":"01`, `"db":"00`), "db is for"},
		{"LSN in lower case", swap(`"to":"16/B374D848"`, `"to":"16/b374d848"`), "canonical"},
		{"LSN with zeros", swap(`"from":"0/16B3748"`, `"from":"0/016B3748"`), "canonical"},
		{"LSN with a sign", swap(`"from":"0/16B3748"`, `"from":"0/+16B3748"`), "header"},
		{"system as number", swap(`"system":"7312345678901234567"`, `"system":7312345678901234567`), "header"},
		{"system with a sign", swap(`"system":"7`, `"system":"+7`), "header"},
		{"escaped text", swap(`"type":"actions"`, `"type":"\u0061ctions"`), "canonical"},
		{"unknown type", swap(`"type":"actions"`, `"type":"action"`), "update it"},
		{"type of markup", swap(`"type":"actions"`, `"type":"actions\",\"x\":\""`), "update it"},
		{"unknown encoding", swap(`"encoding":"zstd"`, `"encoding":"age"`), "update it"},
		{"next version", swap(`"v":1`, `"v":2`), "version 2 is not known"},
		{"next version, all different", func(string) string { return `{"v":2,"seq":"a"}` }, "version 2 is not known"},
		{"version 01", swap(`"v":1`, `"v":01`), "header"},
		{"version as text", swap(`"v":1`, `"v":"1"`), "no wire version"},
		{"huge version", swap(`"v":1`, `"v":`+strings.Repeat("9", 100)), "no wire version"},
		{"version last", func(s string) string { return `{"type":"actions","v":1}` }, "no header line"},
		{"empty object", func(string) string { return `{}` }, "no header line"},
		{"empty line", func(string) string { return `` }, "no header line"},
		{"not JSON", func(string) string { return `{"v":1,` }, "header"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(resigned(test.change(line), r.body))
			checkRefusal(t, err, test.want)
		})
	}
}

func TestOpenRefusesOtherFrames(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	line, rest, _ := strings.Cut(string(r.Bytes), "\n")
	signature := rest[:86]
	tests := []struct{ name, raw, want string }{
		{"as it is", line + "\n" + signature + "\n" + string(r.body), ""},
		{"nothing", "", "no header line"},
		{"no line end", strings.Repeat("x", MaxHeader+10), "no header line"},
		{"line end too late", strings.Repeat("x", MaxHeader) + "\n", "no header line"},
		{"header alone", line + "\n", "no signature line"},
		{"no end of the signature", line + "\n" + signature, "no signature line"},
		{"no body", line + "\n" + signature + "\n", "not the one that was signed"},
		{"body cut", line + "\n" + signature + "\n" + string(r.body[:len(r.body)-1]), "not the one that was signed"},
		{"body longer", line + "\n" + signature + "\n" + string(r.body) + "\n", "not the one that was signed"},
		{"signature padded", line + "\n" + signature + "==\n" + string(r.body), "no signature line"},
		{"signature with a return", line + "\n" + signature[:85] + "\r\n" + string(r.body), "not base64url"},
		{"signature with a line break", line + "\n" + signature[:84] + "\r\r\n" + string(r.body), "not base64url"},
		{"signature in plain base64", line + "\n" + "+" + signature[1:] + "\n" + string(r.body), "not base64url"},
		{"signature with its last bits set", line + "\n" + signature[:85] + nextDigit(signature[85]) + "\n" + string(r.body), "not base64url"},
		{"signature of nothing", line + "\n" + strings.Repeat("A", 86) + "\n" + string(r.body), "not that of the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open([]byte(test.raw))
			checkRefusal(t, err, test.want)
		})
	}
}

// nextDigit is the base64url digit with the lowest bit set.
func nextDigit(c byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(digits[strings.IndexByte(digits, c)|1])
}

func TestOpenRefusesAWriterThatBindsNothing(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	weak := action.Writer{1} // the identity point: R = identity, s = 0 signs anything
	line := strings.Replace(lineOf(r), r.Header.Writer.String(), weak.String(), 1)
	signature := append([]byte{1}, make([]byte, 63)...)
	raw := line + "\n" + base64.RawURLEncoding.EncodeToString(signature) + "\n" + string(r.body)
	_, err := Open([]byte(raw))
	checkRefusal(t, err, "small order")
}

func TestOpenRefusesASignatureForAnotherUse(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	line := lineOf(r)
	bare := ed25519.Sign(ed25519.NewKeyFromSeed(recordSeed[:]), []byte(line))
	_, err := Open([]byte(line + "\n" + base64.RawURLEncoding.EncodeToString(bare) + "\n" + string(r.body)))
	checkRefusal(t, err, "not that of the owner")
}

func TestOpenRefusesEveryBitFlip(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	for bit := range len(r.Bytes) * 8 {
		damaged := bytes.Clone(r.Bytes)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := Open(damaged); err == nil {
			t.Errorf("bit %d flipped: opened", bit)
		}
	}
}

func TestErrorsOfOpenAreShort(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	long := strings.Repeat("\x01", 8000)
	for _, field := range []string{`"type":"`, `"encoding":"`, `"system":"`, `"from":"`, `"db":"`} {
		line := strings.Replace(lineOf(r), field, field+strings.ReplaceAll(long, "\x01", `\u0001`), 1)
		_, err := Open(resigned(line, r.body))
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s of 8000 bytes: got an error of %d bytes, want a short one", field, len(fmt.Sprint(err)))
		}
	}
}

// FuzzOpenRecord: whatever opens is written again as the same bytes, and a bit
// flipped anywhere in it is refused. The first line of each input is also
// tried with a signature of its own, which a fuzzer cannot make.
func FuzzOpenRecord(f *testing.F) {
	for _, r := range []Record{sealed(f, actionsHeader(), oneLine), sealed(f, genesisHeader(), "{}")} {
		f.Add(r.Bytes, uint(0))
		f.Add(r.Bytes, uint(8*len(r.Bytes)-1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, flip uint) {
		line, _, _ := strings.Cut(string(raw), "\n")
		for _, raw := range [][]byte{raw, resigned(line, nil), resigned(line, raw)} {
			r, err := Open(raw)
			if err != nil {
				continue
			}
			checkRecord(t, r, raw, flip)
		}
		h, err := parseHeader([]byte(line))
		if err != nil {
			return
		}
		if got := string(h.appendTo(nil)); got != line {
			t.Errorf("read %s, written again %s", line, got)
		}
		again, err := seal(KeyFromSeed(recordSeed), h, []byte("any"))
		if err != nil {
			t.Fatalf("a header that is read cannot be sealed: %v", err)
		}
		if _, err := Open(again.Bytes); err != nil {
			t.Errorf("a header that is read and sealed does not open: %v", err)
		}
	})
}

func checkRecord(t *testing.T, r Record, raw []byte, flip uint) {
	t.Helper()
	line := r.Header.appendTo(nil)
	if !bytes.HasPrefix(raw, append(line, '\n')) {
		t.Errorf("opened %q, written again %q", raw, line)
	}
	if r.Digest.IsZero() || r.DB().IsZero() {
		t.Error("a record without digest or database")
	}
	damaged := bytes.Clone(raw)
	damaged[flip/8%uint(len(raw))] ^= 1 << (flip % 8)
	if _, err := Open(damaged); err == nil {
		t.Errorf("bit %d flipped: opened", flip)
	}
}

func mustRead(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
