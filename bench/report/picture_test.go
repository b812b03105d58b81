package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestPictureOfTheReadme: docs/ranking.svg is what the tool makes of the reference run.
func TestPictureOfTheReadme(t *testing.T) {
	if raceEnabled {
		t.Skip("it reads the longest run, and there is one goroutine")
	}
	got, err := os.ReadFile("../../docs/ranking.svg")
	if err != nil {
		t.Fatal(err)
	}
	if want := measured(t, "../../results/reference-2core-vm").summary.Picture(); !bytes.Equal(got, want) {
		t.Error("docs/ranking.svg is not the picture of results/reference-2core-vm: make picture")
	}
}

// TestPicture: the picture is XML that stands alone, and has a row for each arm of
// each ranking, in its order.
func TestPicture(t *testing.T) {
	s := Summarize(sample(t), nil)
	picture := s.Picture()
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	text := string(picture)
	if !strings.HasPrefix(text, `<svg xmlns="http://www.w3.org/2000/svg" `) || !strings.Contains(text, "prefers-color-scheme: dark") {
		t.Errorf("it does not stand alone: %.200s", text)
	}
	_, rest, _ := strings.Cut(text, "</style>")
	for i := range s.Loads {
		l := &s.Loads[i]
		if l.Ranking == nil {
			continue
		}
		for _, row := range l.Ranking.Rows {
			_, after, found := strings.Cut(rest, `class="name">`+row.Arm+"<")
			if !found || !strings.Contains(after, `class="figure">`+row.Text+"<") {
				t.Errorf("%s: no row of %s with %s in its place", l.Name, row.Arm, row.Text)
			}
			rest = after
		}
	}
}

// TestNoPicture: one arm alone has no ranking, and so no picture.
func TestNoPicture(t *testing.T) {
	if got := new(Summary).Picture(); got != nil {
		t.Errorf("a picture of nothing: %s", got)
	}
}
