/* The host of the cards, which has as many processors as such hosts have at least, whatever machine this is.
 *
 * MindSpore takes no more threads than there are processors, and with fewer than four for dispatching it takes a way
 * through a graph on which no shape is known when attention is prepared ("Resize failed").
 */
int get_nprocs(void) { return 24; }
