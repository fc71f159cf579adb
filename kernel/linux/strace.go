package linux

func (t *Thread) trace(err Errno)           {}
func (t *Thread) traceSignal(info *sigInfo) {}
func (t *Thread) traceText(s string)        {}
