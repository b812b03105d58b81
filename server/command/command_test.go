package command

import (
	"testing"

	"chatbench/backends"
)

// TestTable: the first transport is the default, and names are found.
func TestTable(t *testing.T) {
	two := newTable([]backends.Backend{{Name: "one"}, {Name: "two"}})
	if got := newFlags(two[0].Name).backend; got != "one" {
		t.Errorf("-backend is %q without the flag", got)
	}
	if b, err := two.find("two"); err != nil || b.Name != "two" {
		t.Errorf("two is not found: %v", err)
	}
	if _, err := two.find("three"); err == nil || err.Error() != `there is no backend "three", there are one, two: see chatd -list` {
		t.Errorf("three: %v", err)
	}
}

// TestBadTables: a program that names its transports wrongly does not start.
func TestBadTables(t *testing.T) {
	for name, bad := range map[string][]backends.Backend{
		"none": nil, "no name": {{}}, "twice": {{Name: "one"}, {Name: "one"}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: taken", name)
				}
			}()
			newTable(bad)
		}()
	}
}
