package metal

// What only assembly uses, so that staticcheck does not call it unused.
var _ = []any{&bootFn, &syscallFn, &apFn, &trapFn, &nestedFn, &fatalFn,
	&xapicEOI, &lastNow, &cpu0Stack, &cr4, &nog, numLeaves, stackPreempt}
