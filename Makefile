# chatbench: one chat core, many server models, one bench. `make help` lists the targets.

BACKEND  ?= epoll
SCENARIO ?= broadcast
LISTEN   ?= 127.0.0.1:9000
USER     ?= guest
BENCH    ?=
GO       ?= go

COMMANDS := chatd chat loadgen bench

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

##@ To try it, and to compare server models

build: ## the four commands, into bin/
	@CGO_ENABLED=0 $(GO) build -buildvcs=auto -o bin/ $(COMMANDS:%=./cmd/%)

bench: build ## measure BACKEND=epoll,goroutine,… or all; SCENARIO=relay, idle or scale; BENCH='…' for more flags of bench run
	@bin/bench run -backends $(BACKEND) -scenario $(SCENARIO) $(BENCH)

compare: build ## the runs in results/ side by side
	@bin/bench compare

serve: build ## BACKEND=… as a chat server on LISTEN=…; any password lets you in
	@bin/chatd -backend $(BACKEND) -listen $(LISTEN) -open

chat: build ## talk there: make chat USER=alice
	@CHAT_PASSWORD=$${CHAT_PASSWORD-guest} bin/chat -server $(LISTEN) -user $(USER)

##@ If you run a server

man: build ## manual pages of the four commands, into man/
	@mkdir -p man
	@for c in $(COMMANDS); do env -u USER bin/$$c man >man/$$c.1.new && mv man/$$c.1.new man/$$c.1 || exit 1; done

completion: build ## completion for bash, zsh and fish, into completion/
	@mkdir -p completion
	@for c in $(COMMANDS); do for s in bash zsh fish; do \
	  case $$s in bash) f=$$c.bash;; zsh) f=_$$c;; fish) f=$$c.fish;; esac; \
	  bin/$$c completion $$s >completion/$$f.new && mv completion/$$f.new completion/$$f || exit 1; \
	done; done

chaos: ## the whole chatd under faults with BACKEND=epoll,… or all: killed, cut off, disk full; a row for each; TIME=10m (not part of test)
	@$(GO) test -c -o bin/chaos ./server/chaos
	@bin/chaos -test.run '^TestChaos$$' -chaos -backend $(BACKEND) -time $(or $(TIME),10m)

soak-server: ## a steady room for TIME=1h with BACKEND: slope of memory, descriptors, goroutines (not part of test)
	@$(GO) test -c -o bin/chaos ./server/chaos
	@bin/chaos -test.run '^TestSoak$$' -soak $(or $(TIME),1h) -backend $(BACKEND)

SEED ?= 0
nemesis: ## a room on three chatd and three NATS servers under faults for TIME=15m; SEED=N repeats a plan (not part of test)
	@$(GO) test -c -o bin/nemesis ./server/nemesis
	@bin/nemesis -test.run '^TestNemesis$$' -test.timeout 0 -nemesis -nemesis.time $(or $(TIME),15m) -nemesis.seed $(SEED)

##@ If you write a server model, or a library for one

outside: ## the whole suite over a transport that lives in another module (not part of test)
	$(GO) test ./server/command -run '^TestOutsideSuite$$' -outside -v

siege: ## every transport under load and with faults: stopped, killed, no descriptors (not part of test)
	$(GO) test ./backends/all -run '^TestSiege$$' -timeout 60m -siege -v

RUNS ?= 20
hostile: ## clients that make trouble for others, RUNS times on every transport (not part of test)
	$(GO) test ./backends/... -run '^TestConformance$$/^hostile' -count $(RUNS) -p 1 -timeout 90m -v | grep -E '^(ok|FAIL|---|panic)|--- FAIL|at worst'

##@ If you change chatbench

# The suites of the transports wait more than they compute: several at once. Everything else
# computes, and beside too much of that the server's hashing threads, which are niced, starve.
# The two longest come first. The tests in cmd itself read source and pages, one thing after the other:
# under the race detector they would show nothing more.
SUITES = -p $(shell expr 4 '*' $$(nproc)) ./backends/uring ./backends/reactors ./backends/...
OTHERS = $(shell $(GO) list ./... | grep -v /backends)
test: vet ## everything that must hold: vet, staticcheck, tests, tests under the race detector
	$(GO) test $(SUITES)
	@echo '$(GO) test (all but backends)'; $(GO) test $(OTHERS)
	@if [ -n "$(RACE)" ]; then echo '$(GO) test -race'; $(GO) test -race $(SUITES) && $(GO) test -race $(filter-out %/cmd,$(OTHERS)); \
	else echo 'no C compiler: the race detector is left out'; fi

vet: ## vet and staticcheck alone
	$(GO) vet ./...
	$(GO) vet -tags race ./...
	$(GO) tool staticcheck ./...

FUZZTIME ?= 5m
fuzz: ## each fuzz target for FUZZTIME (not part of test)
	@$(GO) list -f '{{if .TestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}{{if and .XTestGoFiles (not .TestGoFiles)}}{{.ImportPath}} {{.Dir}}{{end}}' ./... | \
	while read -r pkg dir; do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null | sed 's/func //'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null || exit 1; \
	  done; done

SEEDS ?= 100000
soak: ## the simulation of the core on SEEDS seeds (not part of test)
	$(GO) test ./core -run '^TestSimulation$$' -timeout 60m -sim.seeds $(SEEDS) -sim.seed $$(date +%s)

proofs: build ## try the bench's method on this machine, docs/method.md: an hour and more, continues where it stopped (not part of test)
	@for proof in 'aa -neighbour' calibrate 'slow -neighbour' whole frozen gate; do \
	  echo "proofs $$proof"; $(GO) run ./bench/proofs $$proof || failed="$$failed, $$proof"; \
	done; test -z "$$failed" || { echo "not shown: $${failed#, }"; exit 1; }

picture: build ## docs/ranking.svg, from results/reference-2core-vm
	@bin/bench report -format svg results/reference-2core-vm >docs/ranking.svg.new && mv docs/ranking.svg.new docs/ranking.svg

browser: ## install Chromium, in which the tests look at pages; where there is no apt they are skipped
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	echo 'no Chromium, and it could not be installed: the page is not looked at'

clean: ## remove what was built
	rm -rf bin man completion

help: ## this list
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build bench compare serve chat man completion chaos soak-server nemesis outside siege hostile test vet fuzz soak proofs picture browser clean help
