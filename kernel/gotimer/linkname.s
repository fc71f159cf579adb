// This file lets gotimer.go declare functions without a body.
