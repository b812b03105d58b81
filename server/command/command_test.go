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
	if b, known := two.find("two"); !known || b.Name != "two" {
		t.Errorf("two is not found")
	}
	if _, known := two.find("three"); known {
		t.Errorf("three is found")
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
