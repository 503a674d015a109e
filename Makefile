# Targets for people and for CI, which runs `make test` and nothing else.

GO ?= go
FUZZTIME ?= 30s
ROUNDS ?= 5
POWERCUTS ?= 200
KILLS ?= 1000
SEEDS ?= 10000
LONGFUZZ ?= 3600
LONGLOG ?= test-long.txt
NUMBERS = atomicstore/peerbench/results/numbers.txt
PHOTONUMBERS = uploads/numbers.txt
STATICCHECK = $(GO) tool -modfile=tools/go.mod staticcheck

.PHONY: help test needs vet test-go test-js types npm fuzz test-long powercut bench bench-store bench-ws bench-uploads run

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

test: needs vet test-go test-js types ## everything that must hold before a commit

needs: ## install what the tests need and is missing
	@.ci/needs

vet: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd atomicstore/peerbench && $(GO) vet ./...
	cd reliablews/peerbench && $(GO) vet ./...
	cd uploads/peerbench && $(GO) vet ./...
	$(STATICCHECK) ./...

test-go: ## Go tests under the race detector, browser tests included
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...
	cd atomicstore/peerbench && $(GO) test ./...
	cd reliablews/peerbench && $(GO) test ./...
	cd uploads/peerbench && $(GO) test ./...
	$(GO) test -run '^(TestFiveThousandConnections|TestAWriteWithoutWaitingAllocatesNothing)$$' ./reliablews
	$(GO) test -run '^TestMemoryStaysUnderTheCeiling$$' ./uploads
	cd reliablews/internal/toxitest && CGO_ENABLED=1 $(GO) test -race .

test-js: ## tests of the JavaScript client and of the pages' modules
	node --test reliablews/js/*.test.mjs cmd/contestd/web/jstest/*.test.mjs

types: ## TypeScript reads the JavaScript client and the pages; npm fetches it into a temporary folder
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		cp tools/package.json tools/package-lock.json "$$dir" && \
		npm ci --silent --no-audit --no-fund --prefix "$$dir" && \
		for project in reliablews/js examples cmd/contestd/web; do \
			"$$dir/node_modules/.bin/tsc" --project $$project || exit 1; done

npm: ## pack the JavaScript client for npm, types included
	tools/npm-pack

fuzz: ## every fuzz target for FUZZTIME (30s) each
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

test-long: ## KILLS (1000) and POWERCUTS (200; root) of the store, SEEDS (10000) of reliablews, LONGFUZZ (3600) seconds of fuzzing; summary in LONGLOG (test-long.txt)
	GO="$(GO)" KILLS=$(KILLS) POWERCUTS=$(POWERCUTS) SEEDS=$(SEEDS) LONGFUZZ=$(LONGFUZZ) LONGLOG=$(LONGLOG) tools/test-long

powercut: ## real power cuts under a store at work, POWERCUTS (200) of them; root
	ATOMICSTORE_POWERCUTS=$(POWERCUTS) $(GO) test -count=1 -v -timeout 60m -run '^TestPowerCutForReal$$' ./atomicstore

bench: ## the benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-store: ## the store against others (ROUNDS=5) and its own numbers, in atomicstore/peerbench/results
	cd atomicstore/peerbench && $(GO) run . -rounds $(ROUNDS) -out results
	$(GO) test -run '^$$' -bench 'StateSize|ReadPage|Open' -benchtime 1x ./atomicstore > $(NUMBERS) || { cat $(NUMBERS); exit 1; }
	$(GO) test -run '^$$' -bench Memory -benchtime 1x ./atomicstore >> $(NUMBERS) || { cat $(NUMBERS); exit 1; }
	$(GO) test -run '^$$' -bench Update -benchmem ./atomicstore >> $(NUMBERS) || { cat $(NUMBERS); exit 1; }
	@cat $(NUMBERS)

bench-ws: ## reliablews against other WebSocket servers (ROUNDS=5, about 15 minutes), in reliablews/peerbench/results
	cd reliablews/peerbench && $(GO) build -o peerbench.out . && ./peerbench.out -rounds $(ROUNDS) -out results; \
		status=$$?; rm -f peerbench.out; exit $$status

bench-uploads: ## photos a second, memory, and a comparison with the bare standard library, in uploads/numbers.txt; with libvips where it is, in uploads/peerbench/results
	$(GO) test -run '^$$' -bench 'Accept|Widths|BesideBare' -benchtime 5s -timeout 30m ./uploads > $(PHOTONUMBERS) || { cat $(PHOTONUMBERS); exit 1; }
	$(GO) test -run '^$$' -bench PeakMemory -benchtime 1x ./uploads >> $(PHOTONUMBERS) || { cat $(PHOTONUMBERS); exit 1; }
	@cat $(PHOTONUMBERS)
	@if pkg-config --exists vips 2>/dev/null; then \
		cd uploads/peerbench && CGO_ENABLED=1 $(GO) run -tags vips . -out results; \
	else \
		echo "libvips was left out: pkg-config does not find vips. uploads/peerbench/README.md says what to install."; \
	fi

run: ## the contest on http://localhost:3000
	$(GO) run ./cmd/contestd
