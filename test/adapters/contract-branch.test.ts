import { keepsContract } from "./contract.ts";
import { BRANCH_CASES } from "./contract-cases.ts";

keepsContract(BRANCH_CASES);
