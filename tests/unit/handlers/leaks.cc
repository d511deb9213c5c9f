// Read by LeakSanitizer, where it is built in. Servers that a test "kills" keep UCX endpoints, which
// UCX itself refers to by packed addresses. That our use of UCX leaks nothing is seen in peer_test.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:ucs_calloc\n"; }
