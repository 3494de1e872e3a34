/* The bounds-checked C functions that the kernels' libraries expect of CANN's libc_sec.so. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int memcpy_s(void *to, size_t room, const void *from, size_t n) { return memcpy(to, from, n), 0; }
int memmove_s(void *to, size_t room, const void *from, size_t n) { return memmove(to, from, n), 0; }
int memset_s(void *p, size_t room, int value, size_t n) { return memset(p, value, n), 0; }
int strcpy_s(char *to, size_t room, const char *from) { return snprintf(to, room, "%s", from), 0; }
int strncpy_s(char *to, size_t room, const char *from, size_t n) { return snprintf(to, room, "%.*s", (int)n, from), 0; }
int strcat_s(char *to, size_t room, const char *from) { return strncat(to, from, room - strlen(to) - 1), 0; }
int vsprintf_s(char *to, size_t room, const char *format, va_list a) { return vsnprintf(to, room, format, a); }
int vsnprintf_s(char *to, size_t room, size_t n, const char *format, va_list a) { return vsnprintf(to, room, format, a); }
int sprintf_s(char *to, size_t room, const char *format, ...) {
  va_list a;
  va_start(a, format);
  int n = vsnprintf(to, room, format, a);
  va_end(a);
  return n;
}
int snprintf_s(char *to, size_t room, size_t most, const char *format, ...) {
  va_list a;
  va_start(a, format);
  int n = vsnprintf(to, room, format, a);
  va_end(a);
  return n;
}
