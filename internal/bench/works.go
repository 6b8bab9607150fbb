package main

import (
	"context"
	"slices"
	"strings"
)

// work is a row of the table.
type work struct {
	name string
	// unit is that of the figure and of its limit.
	unit string
	// limit says what is measured beside it.
	limit string
	rule  rule
	// target is for the ratio of figure and limit, or for the figure; rule says which.
	target float64
}

// rule is how a target is meant.
type rule string

const (
	ratioAtLeast rule = "ratio at least"
	ratioAtMost  rule = "ratio at most"
	figureAtMost rule = "figure at most"
	figureBelow  rule = "figure below"
	moreAtMost   rule = "beyond the limit at most"
)

func (r rule) met(figure, limit, target float64) bool {
	switch r {
	case ratioAtLeast:
		return figure/limit >= target
	case ratioAtMost:
		return figure/limit <= target
	case figureAtMost:
		return figure <= target
	case figureBelow:
		return figure < target
	case moreAtMost:
		return figure-limit <= target
	}
	return false
}

// section measures some rows with the same servers.
type section struct {
	name    string
	works   []work
	measure func(ctx context.Context, l *lab) error
}

// The rows that are named in more than one place.
const (
	workMint        = "mint an ES256 access token"
	workMintAllocs  = "mint ES256: allocations"
	workMintRSA     = "mint an RS256 access token"
	workCold        = "verify ES256, a new token"
	workCached      = "verify, a token seen before"
	workCachedMem   = "verify, seen before: allocations"
	workMachine     = "POST /oauth2/token client_credentials ES256"
	workRefresh     = "POST /api/token/refresh/ with rotation, durable, ES256"
	workRefreshP99  = "refresh: p99 at 32 connections"
	workJWKS        = "GET /.well-known/jwks.json"
	workLogin       = "POST /api/token/ (login)"
	workFloodFresh  = "refresh while logins flood"
	workFloodP99    = "refresh while logins flood: p99"
	workFloodJWKS   = "JWKS while logins flood"
	workFloodJP99   = "JWKS while logins flood: p99"
	workIdle        = "memory, idle after start"
	workFlat        = "memory after load, of that after half of it"
	workMemoryBig   = "memory with many users and sessions, without the page cache"
	workStart       = "first good answer after start, many users and sessions"
	workSessions    = "refresh with many sessions in the file"
	workSessionSize = "bytes a session on disk, after refreshes"
	workSweep       = "longest write while expired sessions are swept"
	workPgRefresh   = "refresh over PostgreSQL, durable"
	workPgThree     = "refresh over PostgreSQL, three servers"
	workPgLogin     = "login over PostgreSQL"
	workPgSize      = "bytes a session in PostgreSQL, after refreshes"
)

// sections are the whole table but for the peers; docs/performance.md has a row for
// each work.
var sections = []section{
	{"tokens", []work{
		{workMint, "tokens/s", "raw ecdsa.Sign, one core", ratioAtLeast, 0.85},
		{workMintAllocs, "allocations", "those of ecdsa.Sign", moreAtMost, 25},
		{workMintRSA, "tokens/s", "raw rsa.SignPKCS1v15, one core", ratioAtLeast, 0.97},
		{workCold, "tokens/s", "raw ecdsa.Verify, one core", ratioAtLeast, 0.90},
		{workCached, "µs", "SHA-256 of the token", figureBelow, 2},
		{workCachedMem, "allocations", "those of SHA-256", figureAtMost, 3},
	}, measureTokens},
	{"machine", []work{{workMachine, "requests/s", "bare handler, 1.5 KB", ratioAtLeast, 0.28}}, measureMachine},
	{"refresh", []work{
		{workRefresh, "requests/s", "bare handler, 1.5 KB", ratioAtLeast, 0.10},
		{workRefreshP99, "ms", "bare handler's p99", figureBelow, 40},
	}, measureRefresh},
	{"jwks", []work{{workJWKS, "requests/s", "bare handler, the same answer", ratioAtLeast, 0.90}}, measureJWKS},
	{"login", []work{{workLogin, "logins/s", "raw argon2id, all cores", ratioAtLeast, 0.97}}, measureLogin},
	{"flood", []work{
		{workFloodFresh, "requests/s", "the same without the flood", ratioAtLeast, 0.50},
		{workFloodP99, "ms", "the same without the flood", figureBelow, 100},
		{workFloodJWKS, "requests/s", "the same without the flood", ratioAtLeast, 0.50},
		{workFloodJP99, "ms", "the same without the flood", figureBelow, 100},
	}, measureFlood},
	{"memory", []work{
		{workIdle, "MiB", "bare handler, idle", figureBelow, 30},
		{workFlat, "MiB", "after half of the load", ratioAtMost, 1.10},
	}, measureMemory},
	{"sessions", []work{
		{workMemoryBig, "MiB", "the same on a nearly empty file", moreAtMost, 2},
		{workStart, "ms", "bare handler", figureBelow, 100},
		{workSessions, "requests/s", "the same on a nearly empty file", ratioAtLeast, 0.80},
		{workSessionSize, "bytes", "their records in the file", figureBelow, 400},
	}, measureSessions},
	{"sweep", []work{{workSweep, "ms", "longest write without a sweep", figureAtMost, 20}}, measureSweep},
	{"postgres", []work{
		{workPgRefresh, "requests/s", "the same over bbolt", ratioAtLeast, 0.4},
		{workPgThree, "requests/s", "one server over PostgreSQL", ratioAtLeast, 0.7},
		{workPgSize, "bytes", "their rows alone", figureBelow, 450},
		{workPgLogin, "logins/s", "raw argon2id, all cores", ratioAtLeast, 0.55},
	}, measurePostgres},
}

func sectionNames() string {
	var names []string
	for _, s := range slices.Concat(sections, largeSections) {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}
