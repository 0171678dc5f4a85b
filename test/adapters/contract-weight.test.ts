import { keepsContract } from "./contract.ts";
import { WEIGHT_CASES } from "./contract-cases.ts";

keepsContract(WEIGHT_CASES);
