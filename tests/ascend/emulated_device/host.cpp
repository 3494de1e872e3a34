/* The host of the emulated device has more processors than the one that it runs on may have.
 *
 * With fewer than four threads MindSpore takes a way through a graph in which no shape is known when attention is
 * prepared ("Resize failed"), and it takes no more threads than there are processors. A host of Ascend cards has dozens.
 */
extern "C" int get_nprocs() { return 24; }
