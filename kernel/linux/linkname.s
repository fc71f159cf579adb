// This file lets park.go declare functions without a body.
