#include "store.h"
#include <stdio.h>
#define LIMIT 10
#define TWICE(x) ((x) + (x))
struct item { int id; struct item *next; };
typedef struct item item_t;
enum mode { FAST, SLOW };
/* Finds an item by its id. */
static struct item *find_item(struct item *head, int id) {
    printf("looking for the item %d", id);
    return head->next ? find_item(head->next, id) : lookup(id);
}
int main(void) { return TWICE(1); }
int counter = 0;
