package rules

import (
	"reflect"
	"testing"
	"time"

	"chatbench/bench/record"
)

func TestJudge(t *testing.T) {
	open := record.Load{Rate: 1000, Arrivals: "fixed"}
	poisson := record.Load{Rate: 1000, Arrivals: "poisson"}
	closed := record.Load{Window: 128}
	const ceiling = 20e6
	good := func(change func(*record.Round)) record.Round {
		r := record.Round{Arm: "epoll", Wall: time.Second, Traffic: record.Traffic{Messages: 1000, Deliveries: 100_000, Expected: 100_000}}
		if change != nil {
			change(&r)
		}
		return r
	}
	steal := 0.2
	type reasons = []record.Reason
	for _, c := range []struct {
		name        string
		load        record.Load
		round       record.Round
		void, marks reasons
	}{
		{"good", open, good(nil), nil, nil},
		{"lost", open, good(func(r *record.Round) { r.Traffic.Lost = 1 }), reasons{record.Lost}, nil},
		{"all at once", open, good(func(r *record.Round) {
			r.Traffic = record.Traffic{Messages: 1000, Lost: 1, Duplicated: 1, Reordered: 1, Altered: 1}
		}), reasons{record.Lost, record.Duplicated, record.Reordered, record.Altered}, nil},
		{"stolen from", open, good(func(r *record.Round) { r.Usage.Steal = &steal }), reasons{record.Steal}, nil},
		{"a little late", open, good(func(r *record.Round) { r.Lag.P99 = int64(5 * time.Millisecond) }), nil, nil},
		{"late", open, good(func(r *record.Round) { r.Lag.P99 = int64(5*time.Millisecond) + 1 }), reasons{record.GeneratorLimited}, nil},
		{"11 short is the cut and 1 %", open, good(func(r *record.Round) { r.Traffic.Messages = 989 }), nil, nil},
		{"12 short is off the rate", open, good(func(r *record.Round) { r.Traffic.Messages = 988 }), reasons{record.GeneratorLimited}, nil},
		{"12 more is off the rate", open, good(func(r *record.Round) { r.Traffic.Messages = 1012 }), reasons{record.GeneratorLimited}, nil},
		{"chance is not", poisson, good(func(r *record.Round) { r.Traffic.Messages = 920 }), nil, nil},
		{"beyond chance is", poisson, good(func(r *record.Round) { r.Traffic.Messages = 850 }), reasons{record.GeneratorLimited}, nil},
		{"below the ceiling", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 14e6 }), nil, nil},
		{"near the ceiling", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 15e6 }), nil, reasons{record.GeneratorLimited}},
		{"the ceiling itself", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 20e6; r.Arm = record.NullArm }), nil, nil},
		{"broke off", closed, good(func(r *record.Round) {
			r.Void = reasons{record.ServerDied}
			r.Traffic.Lost, r.Traffic.Deliveries = 5, 19e6
		}), reasons{record.ServerDied, record.Lost}, nil},
		{"a judgement is not a fact", open, good(func(r *record.Round) { r.Void = reasons{record.Steal} }), nil, nil},
	} {
		void, marks := Judge(c.round, c.load, record.DefaultRules(), ceiling)
		if !reflect.DeepEqual(void, c.void) || !reflect.DeepEqual(marks, c.marks) {
			t.Errorf("%s: void %v, marks %v; want %v, %v", c.name, void, marks, c.void, c.marks)
		}
	}
	if _, marks := Judge(good(func(r *record.Round) { r.Traffic.Deliveries = 15e6 }), closed, record.DefaultRules(), 0); marks != nil {
		t.Error("marked against a ceiling that is not known")
	}
}
