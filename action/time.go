package action

import "time"

// stamp writes and reads moments in timeLayout, fast for moments that share a
// second with the one before.
type stamp struct {
	second int64
	text   [20]byte // up to and with the point
}

func (s *stamp) load(second int64) {
	if s.second == second && s.text[0] != 0 {
		return
	}
	s.second = second
	copy(s.text[:], time.Unix(second, 0).UTC().Format("2006-01-02T15:04:05."))
}

// append appends the moment micros (microseconds since 1970 UTC). Years before
// 0000 and after 9999 do not occur as commit times.
func (s *stamp) append(b []byte, micros int64) []byte {
	second, frac := micros/1e6, micros%1e6
	if frac < 0 {
		second, frac = second-1, frac+1e6
	}
	s.load(second)
	b = append(b, s.text[:]...)
	at := len(b)
	b = append(b, "000000Z"...)
	for i := 5; i >= 0; i-- {
		b[at+i] = byte('0' + frac%10)
		frac /= 10
	}
	return b
}

// parse reads what append wrote.
func (s *stamp) parse(b []byte) (micros int64, ok bool) {
	if len(b) != len(timeLayout) || b[26] != 'Z' {
		return 0, false
	}
	if string(b[:20]) != string(s.text[:]) {
		t, err := time.Parse("2006-01-02T15:04:05.", string(b[:20]))
		if err != nil {
			return 0, false
		}
		s.load(t.Unix())
		if string(b[:20]) != string(s.text[:]) {
			return 0, false
		}
	}
	for _, c := range b[20:26] {
		if c < '0' || c > '9' {
			return 0, false
		}
		micros = micros*10 + int64(c-'0')
	}
	return s.second*1e6 + micros, true
}
