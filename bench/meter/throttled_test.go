package meter

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Files of the two versions of cgroups, and where they are.
const (
	v1 = "35 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	v1Docker = "32 31 0:29 /docker/a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
	v2       = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	v2Above  = "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	cpu      = "sys/fs/cgroup/cpu,cpuacct/"
	docker   = "sys/fs/cgroup/cpu/"
	all      = "sys/fs/cgroup/"
	some     = "50000 100000\n"
	none     = "max 100000\n"
	stat1    = "nr_periods 9\nnr_throttled 2\nthrottled_time 7000\n"
	stat2    = "usage_usec 123\nnr_throttled 2\nthrottled_usec 7\n"
)

// limitCase is a system of files, and the directories of the limits in it.
type limitCase struct {
	name, mounts, own string
	files             map[string]string
	want              []string
}

var limitCases = []limitCase{
	{"no cgroups", "", "", nil, nil},
	{"version 1", v1, "9:name=systemd:/\n3:cpuset:/c\n1:cpu,cpuacct:/a/b\n0::/u\n", map[string]string{
		cpu + "cpu.cfs_quota_us": "-1\n", cpu + "cpu.stat": stat1, cpu + "a/cpu.cfs_quota_us": "50000\n", cpu + "a/cpu.stat": stat1,
		cpu + "a/b/cpu.cfs_quota_us": "20000\n", cpu + "a/b/cpu.stat": stat1, cpu + "c/cpu.cfs_quota_us": "20000\n", cpu + "c/cpu.stat": stat1,
	}, []string{cpu + "a/b", cpu + "a"}},
	{"version 1 without a limit", v1, "1:cpu,cpuacct:/\n", map[string]string{cpu + "cpu.cfs_quota_us": "-1\n", cpu + "cpu.stat": stat1}, nil},
	{"version 1 in a container", v1Docker, "4:cpu:/docker/a\n", map[string]string{docker + "cpu.cfs_quota_us": "50000\n", docker + "cpu.stat": stat1}, []string{docker}},
	{"and in a group inside it", v1Docker, "4:cpu:/docker/a/b\n", map[string]string{docker + "b/cpu.cfs_quota_us": "50000\n", docker + "b/cpu.stat": stat1}, []string{docker + "b"}},
	{"and the group is elsewhere", v1Docker, "4:cpu:/docker/ab\n", map[string]string{
		docker + "cpu.cfs_quota_us": "50000\n", docker + "cpu.stat": stat1, all + "ab/cpu.cfs_quota_us": "50000\n", all + "ab/cpu.stat": stat1,
	}, []string{docker}},
	{"version 2, limited above", v2, "1:name=systemd:/\n0::/kube/pod/c\n", map[string]string{
		all + "cpu.stat": "usage_usec 5\n", all + "kube/pod/cpu.max": some, all + "kube/pod/cpu.stat": stat2, all + "kube/pod/c/cpu.max": none, all + "kube/pod/c/cpu.stat": stat2,
	}, []string{all + "kube/pod"}},
	{"in a namespace", v2, "0::/\n", map[string]string{all + "cpu.max": some, all + "cpu.stat": stat2}, []string{all}},
	{"the path is not mounted", v2, "0::/docker/a\n", map[string]string{
		all + "cpu.max": some, all + "cpu.stat": stat2, all + "docker/cpu.max": some, all + "docker/cpu.stat": stat2,
	}, []string{all}},
	{"outside the namespace", v2, "0::/../x\n", map[string]string{
		all + "cpu.max": some, all + "cpu.stat": stat2, all + "x/cpu.max": some, all + "x/cpu.stat": stat2,
	}, []string{all}},
	{"mounted from above the namespace", v2Above, "0::/\n", map[string]string{all + "cpu.max": some, all + "cpu.stat": stat2}, []string{all}},
	{"a limit, and no time", v2, "0::/\n", map[string]string{all + "cpu.max": some, all + "cpu.stat": "usage_usec 5\n"}, nil},
	{"nothing to read", v2, "0::/\n", nil, nil},
}

// root writes the files under a new root directory.
func (c limitCase) root(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	files := maps.Clone(c.files)
	if files == nil {
		files = make(map[string]string)
	}
	files["proc/self/cgroup"] = c.own
	files["proc/self/mountinfo"] = "23 1 0:5 / / rw - ext4 /dev/root rw\n" + c.mounts + "torn line\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestFindLimits: the limits are those of the process's own group and of the groups above it, wherever
// the hierarchy is mounted and whatever part of it; without a limit nothing is measured.
func TestFindLimits(t *testing.T) {
	for _, c := range limitCases {
		root := c.root(t)
		l := FindLimits(root)
		var want Limits
		read := make(map[string]int64)
		for _, dir := range c.want {
			want = append(want, filepath.Join(root, dir))
			read[filepath.Join(root, dir)] = 7000
		}
		if !slices.Equal(l, want) {
			t.Errorf("%s: %v, want %v", c.name, l, want)
			continue
		}
		if got := l.read(); !maps.Equal(got, read) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: read %v, want %v", c.name, got, read)
		}
		for name := range c.files {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.read(); got != nil {
			t.Errorf("%s: the files are gone, but %v", c.name, got)
		}
	}
}

// TestThrottled: the share is of the time of all CPUs in use, each of them once, and of the group that was
// throttled the longest.
func TestThrottled(t *testing.T) {
	at := time.Now()
	const ms = int64(time.Millisecond)
	for _, c := range []struct {
		name            string
		server, other   []int
		wall            time.Duration
		inner, outer    int64
		want            float64
		unread, nothing bool
	}{
		{name: "not throttled", server: []int{0}, other: []int{1}, wall: time.Second},
		{name: "both CPUs", server: []int{0}, other: []int{1}, wall: time.Second, inner: 500 * ms, want: 0.25},
		{name: "above", server: []int{0}, other: []int{1}, wall: time.Second, inner: 500 * ms, outer: 600 * ms, want: 0.30},
		{name: "one CPU for both", server: []int{0}, other: []int{0}, wall: time.Second, inner: 500 * ms, want: 0.5},
		{name: "agents elsewhere", server: []int{0, 1}, wall: 2 * time.Second, inner: 500 * ms, want: 0.125},
		{name: "others in the group too", server: []int{0}, other: []int{1}, wall: time.Second, inner: 2500 * ms, want: 1},
		{name: "no time", server: []int{0}, other: []int{1}, inner: 500 * ms},
		{name: "not readable", server: []int{0}, other: []int{1}, wall: time.Second, inner: 500 * ms, unread: true},
		{name: "no limit", server: []int{0}, other: []int{1}, wall: time.Second, nothing: true},
	} {
		m := &Meter{ServerCPUs: c.server, OtherCPUs: c.other}
		before := Sample{At: at, throttled: map[string]int64{"in": 3 * ms, "out": 9000 * ms}}
		after := Sample{At: at.Add(c.wall), throttled: map[string]int64{"in": 3*ms + c.inner, "out": 9000*ms + c.outer}}
		if c.unread {
			before.throttled = nil
		}
		if c.nothing {
			before.throttled, after.throttled = nil, nil
		}
		u := m.Between(before, after, before, after)
		if absent := c.unread || c.nothing; (u.Throttled == nil) != absent || !absent && !(math.Abs(*u.Throttled-c.want) <= 1e-9) {
			t.Errorf("%s: %v, want %v", c.name, u.Throttled, c.want)
		}
	}
}
