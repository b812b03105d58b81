# chatbench: one chat core, many server models, one bench. `make help` lists the targets.

BACKEND  ?= epoll
SCENARIO ?= broadcast
LISTEN   ?= 127.0.0.1:9000
USER     ?= guest
BENCH    ?=
GO       ?= go

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

all: chatd chat loadgen bench-bin ## build the four binaries into bin/

chatd chat loadgen: ## build one binary
	@CGO_ENABLED=0 $(GO) build -o bin/$@ ./cmd/$@

bench-bin:
	@CGO_ENABLED=0 $(GO) build -o bin/bench ./cmd/bench

bench: all ## measure BACKEND=epoll,goroutine,… (about a minute for each two)
	@bin/bench run -backends $(BACKEND) -scenario $(SCENARIO) $(BENCH)

compare: bench-bin ## the runs in results/ side by side
	@bin/bench compare

serve: chatd ## run BACKEND=… as a chat server on LISTEN=…, any password welcome
	@bin/chatd -backend $(BACKEND) -listen $(LISTEN) -open

chat: ## talk: make chat USER=alice
	@CGO_ENABLED=0 $(GO) build -o bin/chat ./cmd/chat
	@CHAT_PASSWORD=$${CHAT_PASSWORD-guest} bin/chat -server $(LISTEN) -user $(USER)

test: vet ## everything that must hold: vet, staticcheck, tests, tests under the race detector
	$(GO) test ./...
	@if [ -n "$(RACE)" ]; then echo '$(GO) test -race ./...'; $(GO) test -race ./...; \
	else echo 'no C compiler: the race detector is left out'; fi

vet:
	$(GO) vet ./...
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

clean: ## remove what was built
	rm -rf bin

help: ## this list
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: all chatd chat loadgen bench-bin bench compare serve test vet fuzz soak clean help
