package server

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReportIsDocumented: each key of the last line is in the page's table, and the
// table has no other.
func TestReportIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/chatd-interface.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n## Everything in the line `stopped` of this chatd\n")
	if !found {
		t.Fatal("the page has no such section")
	}
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\|$").FindAllStringSubmatch(section, -1) {
		documented[row[1]] = true
	}
	var full stopped
	fill(reflect.ValueOf(&full).Elem())
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatal(err)
	}
	printed := make(map[string]bool)
	flatten(printed, "", line)
	for _, key := range slices.Sorted(maps.Keys(printed)) {
		if !documented[key] {
			t.Errorf("%s is not documented", key)
		}
		delete(documented, key)
	}
	for key := range documented {
		t.Errorf("%s is documented, and not printed", key)
	}
}

// fill makes everything in a struct something, so that no key is left out of its JSON.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// flatten collects the keys of an object, with those they are below.
func flatten(keys map[string]bool, prefix string, object map[string]any) {
	for key, value := range object {
		if inside, is := value.(map[string]any); is {
			flatten(keys, prefix+key+".", inside)
			continue
		}
		keys[prefix+key] = true
	}
}
