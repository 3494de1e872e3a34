/* The functions of CANN whose answer matters to MindSpore, for a card that is not there.
 *
 * Device memory is malloc, a copy is memmove and is counted, everything asynchronous has already happened. No operator
 * computes anything: its launch is noted by name. The hundreds of functions whose answer does not matter are generated
 * (generate.py) and return 0.
 *
 * Read from the environment:
 *   REHEARSAL_SOC, REHEARSAL_HBM_GB, REHEARSAL_CARDS   the machine
 *   REHEARSAL_COUNTERS    a file that holds struct counters, kept up to date, so that it survives any end of the process
 *   REHEARSAL_OPERATORS   a file to which every operator that is launched is appended, one a line
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint64_t u64;
typedef void *handle;

#include "counters.h" /* made of counters.py */

static struct counters own, *count = &own;
static int operators_file = -1;

__attribute__((constructor)) static void open_files(void) {
  const char *name = getenv("REHEARSAL_COUNTERS");
  int file = name ? open(name, O_RDWR | O_CREAT, 0600) : -1;
  if (file >= 0 && ftruncate(file, sizeof own) == 0) {
    void *mapped = mmap(0, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) count = mapped;
  }
  if ((name = getenv("REHEARSAL_OPERATORS"))) operators_file = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

#define ADD(field, n) __atomic_add_fetch(&count->field, (u64)(n), __ATOMIC_RELAXED)

static void highest(u64 *peak, u64 value) {
  u64 old = __atomic_load_n(peak, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(peak, &old, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

/* Called by every generated aclnn*, Hccl* function: one line in the file of operators. */
int rehearsal_launch(const char *name) {
  ADD(launches, 1);
  if (operators_file >= 0) dprintf(operators_file, "%s\n", name);
  return 0;
}

/* ---- the device ---- */

static double number(const char *variable, double otherwise) {
  const char *s = getenv(variable);
  return s ? atof(s) : otherwise;
}
static u64 hbm(void) { return (u64)(number("REHEARSAL_HBM_GB", 64) * (1ul << 30)); }

int aclInit(const char *config) { return 0; }
int aclFinalize(void) { return 0; }
const char *aclGetRecentErrMsg(void) { return ""; }
const char *aclrtGetSocName(void) { return getenv("REHEARSAL_SOC") ? getenv("REHEARSAL_SOC") : "Ascend910B2"; }
int rtGetSocVersion(char *out, uint32_t size) { return snprintf(out, size, "%s", aclrtGetSocName()), 0; }
/* ASCEND_RT_VISIBLE_DEVICES, as "5" or "2,3": the cards that a process sees, numbered from 0 in this order. */
static int card_behind(int seen) {
  int there = (int)number("REHEARSAL_CARDS", 8), card = seen;
  const char *list = getenv("ASCEND_RT_VISIBLE_DEVICES");
  if (list && *list) {
    for (; seen > 0 && list; seen--) list = (list = strchr(list, ',')) ? list + 1 : 0;
    card = list ? atoi(list) : -1;
  }
  return card >= 0 && card < there ? card : -1;
}
int aclrtGetDeviceCount(uint32_t *n) {
  for (*n = 0; card_behind((int)*n) >= 0;) ++*n;
  return 0;
}
static __thread int seen_as;
int aclrtSetDevice(int d) {
  int card = card_behind(d);
  if (card < 0) return 107001; /* invalid device id */
  seen_as = d;
  count->set_device = 1 + card;
  return 0;
}
int aclrtGetDevice(int *d) { return *d = seen_as, 0; }
int aclrtResetDevice(int d) { return 0; }
int aclrtGetRunMode(int *mode) { return *mode = 1, 0; } /* 1: a host with a device, not the device itself */
int aclrtDeviceCanAccessPeer(int *can, int a, int b) { return *can = 1, 0; }
int aclrtDeviceGetBareTgid(int *pid) { return *pid = getpid(), 0; }
int mmGetTid(void) { return (int)syscall(SYS_gettid); }

/* ---- contexts, streams, events: handles that are never null; everything asked of them has already happened ---- */

static handle new_handle(void) { return calloc(1, 256); }

int aclrtCreateContext(handle *c, int d) { return *c = new_handle(), 0; }
int aclrtGetCurrentContext(handle *c) { static char one; return *c = &one, 0; }
int aclrtSetCurrentContext(handle c) { return 0; }
int aclrtDestroyContext(handle c) { return 0; }
int aclrtCreateStream(handle *s) { return *s = new_handle(), 0; }
int aclrtCreateStreamWithConfig(handle *s, uint32_t priority, uint32_t flag) { return *s = new_handle(), 0; }
int aclrtDestroyStream(handle s) { return 0; }
int aclrtDestroyStreamForce(handle s) { return 0; }
int aclrtStreamQuery(handle s, int *state) { return *state = 0, 0; } /* 0: complete */
int rtGetStreamId(handle s, int *id) { return *id = 0, 0; }
int aclrtCreateEvent(handle *e) { return *e = new_handle(), 0; }
int aclrtCreateEventWithFlag(handle *e, uint32_t flag) { return *e = new_handle(), 0; }
int aclrtCreateEventExWithFlag(handle *e, uint32_t flag) { return *e = new_handle(), 0; }
int aclrtQueryEventStatus(handle e, int *state) { return *state = 1, 0; } /* 1: recorded */
int aclrtEventElapsedTime(float *ms, handle a, handle b) { return *ms = 0, 0; }
int aclrtEventGetTimestamp(handle e, u64 *t) { return *t = 0, 0; }
int aclrtLaunchCallback(void (*f)(void *), void *data, int block, handle s) { return f(data), 0; }

/* ---- memory ---- */

#define OUT_OF_MEMORY 207001

static int take(handle *p, size_t align, size_t n, u64 *live, u64 *peak, u64 limit) {
  if (limit && *live + n > limit) return OUT_OF_MEMORY;
  if (posix_memalign(p, align, n ? n : 1)) return OUT_OF_MEMORY;
  highest(peak, __atomic_add_fetch(live, malloc_usable_size(*p), __ATOMIC_RELAXED));
  return 0;
}
static int give_back(handle p, u64 *live) {
  __atomic_sub_fetch(live, malloc_usable_size(p), __ATOMIC_RELAXED);
  free(p);
  return 0;
}
int aclrtGetMemInfo(int kind, size_t *available, size_t *total) {
  *total = hbm();
  *available = *total - count->device_live;
  return 0;
}
int aclrtMalloc(handle *p, size_t n, int policy) {
  return take(p, 512, n, &count->device_live, &count->device_peak, hbm());
}
int aclrtFree(handle p) { return give_back(p, &count->device_live); }
int aclrtMallocHost(handle *p, size_t n) { return take(p, 4096, n, &count->host_live, &count->host_peak, 0); }
int aclrtFreeHost(handle p) { return give_back(p, &count->host_live); }

/* Virtual memory: the reserved range is usable at once, the physical part is only counted. */
int aclrtReserveMemAddress(handle *p, size_t n, size_t align, handle expected, u64 flags) {
  *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return *p == MAP_FAILED ? OUT_OF_MEMORY : 0;
}
int aclrtMallocPhysical(handle *h, size_t n, const void *property, u64 flags) {
  if (count->device_live + n > hbm()) return OUT_OF_MEMORY;
  *(u64 *)(*h = new_handle()) = n;
  highest(&count->device_peak, ADD(device_live, n));
  return 0;
}
int aclrtFreePhysical(handle h) { return ADD(device_live, -*(u64 *)h), free(h), 0; }

/* ---- copies ---- */

static int copy(void *to, const void *from, size_t n, int kind) {
  memmove(to, from, n);
  if (kind == 1) { ADD(h2d_bytes, n); ADD(h2d_copies, 1); highest(&count->h2d_largest, n); }
  if (kind == 2) { ADD(d2h_bytes, n); ADD(d2h_copies, 1); highest(&count->d2h_largest, n); }
  if (kind == 3) { ADD(d2d_bytes, n); ADD(d2d_copies, 1); }
  return 0;
}
int aclrtMemcpy(void *to, size_t room, const void *from, size_t n, int kind) { return copy(to, from, n, kind); }
int aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t n, int kind, handle s) { return copy(to, from, n, kind); }
int aclrtMemset(void *p, size_t room, int value, size_t n) { return memset(p, value, n), 0; }
int aclrtMemsetAsync(void *p, size_t room, int value, size_t n, handle s) { return memset(p, value, n), 0; }

/* ---- operators: names are noted, nothing is computed ---- */

/* One operator does compute, as a load on a 310P is verified through it: Identity copies, and brings a matrix of two-byte
 * values into the card's own format, fractal NZ: blocks of 16 x 16, column of blocks by column of blocks. */
#define FRACTAL_NZ 29
struct description { int format, dimensions; int64_t shape[8]; };
struct buffer { char *data; size_t size; };

handle aclCreateTensorDesc(int type, int dimensions, const int64_t *shape, int format) {
  struct description *d = new_handle();
  d->format = format;
  d->dimensions = dimensions;
  for (int i = 0; i < dimensions && i < 8; i++) d->shape[i] = shape[i];
  return d;
}
int aclSetTensorFormat(struct description *d, int format) { return d->format = format, 0; }
handle aclCreateDataBuffer(void *data, size_t size) {
  struct buffer *b = new_handle();
  return b->data = data, b->size = size, b;
}
static void identity(struct description *from, struct buffer *in, struct description *to, struct buffer *out) {
  if (to->format != FRACTAL_NZ || from->format == FRACTAL_NZ || from->dimensions < 2) {
    memmove(out->data, in->data, in->size < out->size ? in->size : out->size);
    return;
  }
  int64_t rows = from->shape[from->dimensions - 2], columns = from->shape[from->dimensions - 1];
  int64_t tall = (rows + 15) / 16 * 16, wide = (columns + 15) / 16 * 16;
  int64_t matrices = in->size / (2 * rows * columns);
  if (out->size < (size_t)(2 * matrices * tall * wide)) return;
  memset(out->data, 0, out->size);
  for (int64_t m = 0; m < matrices; m++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++)
        ((uint16_t *)out->data)[m * tall * wide + j / 16 * tall * 16 + i * 16 + j % 16] =
            ((uint16_t *)in->data)[(m * rows + i) * columns + j];
}
int aclopCompileAndExecute(const char *op, int inputs, struct description **from, struct buffer **in, int outputs,
                           struct description **to, struct buffer **out) {
  char line[256];
  if (strcmp(op, "Identity") == 0) identity(from[0], in[0], to[0], out[0]);
  return snprintf(line, sizeof line, "aclop %s", op), rehearsal_launch(line);
}
int aclopCompileAndExecuteV2(const char *op, int inputs, struct description **from, struct buffer **in, int outputs,
                             struct description **to, struct buffer **out) {
  return aclopCompileAndExecute(op, inputs, from, in, outputs, to, out);
}
int rtKernelLaunch(const void *f, uint32_t blocks) { return rehearsal_launch("kernel"); }
int rtKernelLaunchWithFlagV2(const void *f, uint32_t blocks) { return rehearsal_launch("kernel"); }
int rtKernelLaunchWithHandleV2(handle h, u64 key, uint32_t blocks) { return rehearsal_launch("internal kernel"); }
int rtDevBinaryRegister(const void *binary, handle *h) { return *h = new_handle(), 0; }
int rtRegisterAllKernel(const void *binary, handle *h) { return *h = new_handle(), 0; }
static char scratch[4096];
int rtGetC2cCtrlAddr(u64 *address, uint32_t *size) { return *address = (u64)scratch, *size = sizeof scratch, 0; }
int rtCtxGetOverflowAddr(handle *p) { return *p = scratch, 0; }
size_t aclDataTypeSize(int type) { return 4; }

/* Makers whose result must not be null. */
#define MAKER(name) handle name(void) { return new_handle(); }
MAKER(aclCreateTensor) MAKER(aclCreateTensorList)
MAKER(aclCreateScalar) MAKER(aclCreateScalarList) MAKER(aclCreateIntArray) MAKER(aclCreateBoolArray)
MAKER(aclCreateFloatArray) MAKER(aclopCreateAttr) MAKER(aclmdlCreateDataset) MAKER(aclmdlCreateDesc)
MAKER(aclmdlCreateExecConfigHandle) MAKER(aclprofCreateConfig) MAKER(aclprofCreateStepInfo)
MAKER(aclrtAllocatorCreateDesc) MAKER(acltdtCreateDataset) MAKER(acltdtCreateDataItem)

/* ge::StatusFactory::Instance(), from MindSpore 2.10 on: it begins with a std::map, empty, to which error messages are added. */
handle _ZN2ge13StatusFactory8InstanceEv(void) {
  static handle map[6]; /* order; colour, root, leftmost, rightmost; size */
  if (!map[3]) map[3] = map[4] = &map[1];
  return map;
}

/* The queue that print and summary operators use: always empty. */
handle acltdtCreateChannelWithCapacity(void) { return 0; }
const char *acltdtGetDatasetName(void) { return ""; }
int acltdtReceiveTensor(void) { return usleep(100000), 100; }
