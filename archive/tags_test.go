package archive

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	goartypes "github.com/everFinance/goar/types"
	goarutils "github.com/everFinance/goar/utils"
)

func TestTagsAreWrittenAsGoarWritesThem(t *testing.T) {
	tests := map[string][]Tag{
		"none":          nil,
		"one":           {{"n", "v"}},
		"two":           twoTags(),
		"same name":     {{"n", "v"}, {"n", "v"}},
		"long value":    {{"n", strings.Repeat("v", 3072)}},
		"63 and 64":     {{strings.Repeat("n", 63), strings.Repeat("v", 64)}},
		"as many as go": slices.Repeat([]Tag{{"n", "v"}}, 128),
	}
	for name, tags := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := appendTags(nil, tags)
			if err != nil {
				t.Fatal(err)
			}
			var theirs []goartypes.Tag
			for _, tag := range tags {
				theirs = append(theirs, goartypes.Tag{Name: tag.Name, Value: tag.Value})
			}
			want, err := goarutils.SerializeTags(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got %x, goar writes %x", got, want)
			}
			back, err := parseTags(got, len(tags))
			if err != nil || !slices.Equal(back, tags) {
				t.Errorf("read back: got %q (%v), want %q", back, err, tags)
			}
		})
	}
}

func TestTagSizeIsWhatATagTakes(t *testing.T) {
	for _, tag := range []Tag{{"n", "v"}, {strings.Repeat("n", 63), strings.Repeat("v", 64)}, {strings.Repeat("n", 1024), strings.Repeat("v", 3000)}} {
		encoded, err := appendTags(nil, []Tag{tag})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := tagSize(tag), len(encoded)-2; got != want {
			t.Errorf("%d and %d bytes: got %d, want %d", len(tag.Name), len(tag.Value), got, want)
		}
	}
}

// FuzzTags: what is read is written again as the same bytes, and what is
// written is read as the same tags.
func FuzzTags(f *testing.F) {
	f.Add([]byte("\x04\x02a\x02b\x02c\x02d\x00"), 2, "name", "value")
	f.Add([]byte("\xfe\xff\xff\xff\x0f\x00"), 2147483647, "", "v")
	f.Add([]byte("\x84\x00\x00"), 2, "n", "\xff")
	f.Add([]byte{}, 0, strings.Repeat("n", 1024), strings.Repeat("v", 3072))
	f.Fuzz(func(t *testing.T, b []byte, count int, name, value string) {
		if len(b) <= maxTagBytes && count >= 0 && count <= maxTags {
			if tags, err := parseTags(b, count); err == nil {
				again, err := appendTags(nil, tags)
				if err != nil || !bytes.Equal(again, b) {
					t.Errorf("read %x, written again %x (%v)", b, again, err)
				}
			}
		}
		tags := []Tag{{name, value}, {value, name}}
		encoded, err := appendTags(nil, tags)
		if err != nil {
			return
		}
		back, err := parseTags(encoded, len(tags))
		if err != nil || !slices.Equal(back, tags) {
			t.Errorf("wrote %q, read %q (%v)", tags, back, err)
		}
	})
}
