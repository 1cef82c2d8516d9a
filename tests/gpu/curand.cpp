// libcurand: a generator that can be made and is never asked. Its numbers would be refused (refusals.py).
enum Status { SUCCESS = 0 };

static int the_generator;

extern "C" {

int curandCreateGenerator(void** generator, int) {
    *generator = &the_generator;
    return SUCCESS;
}

int curandDestroyGenerator(void*) { return SUCCESS; }
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }
int curandSetStream(void*, void*) { return SUCCESS; }
int curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }

}  // extern "C"
